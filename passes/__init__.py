"""Takes an ir module and a target's policy table, gives a module of fused regions; never knows an instruction set or writes a kernel."""
