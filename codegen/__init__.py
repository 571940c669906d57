"""Takes regions and a target, gives kernels, a memory plan and tapes: an artifact on disk; never runs the model."""
