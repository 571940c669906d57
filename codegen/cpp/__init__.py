"""Takes regions, gives C++ for CPUs at several instruction-set levels; never knows a model."""
