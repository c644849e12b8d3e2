"""Cells: what they are, how they run, resume and fail, and what they leave on disk."""
