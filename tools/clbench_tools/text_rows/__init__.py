"""Shared by the builders of the embedded text streams: rows, passages, near-duplicates, WordNet, corpus files."""
