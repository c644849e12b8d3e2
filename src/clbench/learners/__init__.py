"""Learners: models of several families, with the code that computes their losses and predictions."""
