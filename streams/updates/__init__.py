"""Streams of model releases: the model changes, the tasks stay."""
