"""Builds the embedded picture stream clip-mini from pinned registry packages; never imported at run time."""
