"""Scores of written answers."""
