"""Takes regions, gives Triton kernels for GPUs, compiled ahead of time; never knows a model."""
