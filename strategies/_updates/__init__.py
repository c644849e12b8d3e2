"""Strategies for releases of a model: the base model changes, the tasks stay."""
