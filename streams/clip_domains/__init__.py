"""Streams of picture domains for CLIP learners."""
