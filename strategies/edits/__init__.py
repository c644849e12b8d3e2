"""Edits: changes of the weights after a task."""
