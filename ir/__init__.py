"""Gives op records, types, graphs, text both ways, a verifier and the reference interpreter.
Never imports another folder of ours.
"""
