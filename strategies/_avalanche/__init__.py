"""Avalanche's plugins in Avalanche's own training loop, on our learners."""
