"""Loaders: they make a stream from its card and a folder of data. One file a layout."""
