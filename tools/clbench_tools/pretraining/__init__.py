"""Pre-training of the shipped models."""
