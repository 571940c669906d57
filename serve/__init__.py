"""Takes an engine, gives HTTP. Never knows kernels."""
