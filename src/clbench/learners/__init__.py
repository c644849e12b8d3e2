"""Learners: model families with the code that computes their losses and predictions."""
