"""ir takes nothing, gives op records, graphs, text both ways, a verifier and the reference
interpreter; it never imports another folder of ours."""
