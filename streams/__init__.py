"""Streams: sequences of tasks or of model releases."""
