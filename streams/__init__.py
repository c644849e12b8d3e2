"""Streams: which tasks, in which order."""
