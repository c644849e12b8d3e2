"""Streams of image domains for CLIP learners."""
