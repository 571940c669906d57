"""tapeout-nano: a five-million-parameter chat model of our own, its data, training and checks."""
