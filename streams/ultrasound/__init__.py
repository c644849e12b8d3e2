"""Ultrasound images: segmentation, classification, detection and regression in one stream."""
