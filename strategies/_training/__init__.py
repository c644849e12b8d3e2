"""Gradient training loops, their optimizer and batches, and the choice of what is trained."""
