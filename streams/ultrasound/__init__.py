"""Ultrasound pictures: segmentation, classification, detection and regression in one stream."""
