"""Takes an artifact, gives tokens; never imports frontend, passes, codegen, ir, torch or transformers."""
