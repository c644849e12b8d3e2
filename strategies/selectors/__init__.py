"""Selectors: which parameters, or entries of them, move."""
