"""Public image data sets in their usual folder layouts, for MTIL, X-TAIL and TA8."""
