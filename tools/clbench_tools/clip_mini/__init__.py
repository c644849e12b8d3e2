"""Builds the embedded image stream clip-mini from pinned registry packages; never imported at run time."""
