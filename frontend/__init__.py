"""Takes a Hugging Face checkpoint folder, gives an ir module and weight programs.
Never reads weight values while tracing, never has per-model code.
"""
