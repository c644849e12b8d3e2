"""Scores of images: one number in [0, 1] per image for R, and the measures of challenges in pixels and units."""

from clbench.scoring.images.scorer import ImageScore, ImageScorer, Truth

__all__ = ["ImageScore", "ImageScorer", "Truth"]
