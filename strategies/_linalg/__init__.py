"""Subspaces of weight matrices."""
