"""Takes an ir module and a target's policy table, gives a module of fused regions.
Never knows an instruction set, never writes a kernel.
"""
