"""Takes regions and a target, gives kernels, a memory plan and tapes: an artifact on disk.
Never runs the model.
"""
