"""Takes a Hugging Face checkpoint folder, gives an ir module and weight programs; never reads weight values while tracing, never has per-model code."""
