"""Takes an ir module, gives a module of fused regions.
Never knows an instruction set, never writes a kernel.
"""
