"""Metrics of the accuracy matrix: one file a family, every variant under a name of its own."""
