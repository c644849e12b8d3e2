"""Public image data sets in their usual folder layouts, for MTIL and X-TAIL."""
