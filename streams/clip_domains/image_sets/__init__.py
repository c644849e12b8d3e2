"""Public image data sets in the layouts in which people have them, for MTIL and X-TAIL."""
