"""Pre-training of mini-clip."""
