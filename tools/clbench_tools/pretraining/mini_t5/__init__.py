"""Pre-training of mini-t5."""
