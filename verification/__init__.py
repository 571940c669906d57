"""Takes an artifact, gives a certificate of what was compared with the reference. Never changes the
artifact.
"""
