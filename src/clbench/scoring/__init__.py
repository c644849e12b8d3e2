"""Scores of single predictions: one number for each sample."""
