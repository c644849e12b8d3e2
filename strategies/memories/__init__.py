"""Memories: which samples of earlier tasks are trained on again."""
