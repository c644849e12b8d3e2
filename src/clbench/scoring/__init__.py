"""Scores of single answers."""
