"""Pre-training of mini-llama."""
