"""Builds the embedded text stream text-mini from pinned registry packages; never imported at run time."""
