"""Streams of ultrasound pictures: segmentation, classification, detection and regression."""
