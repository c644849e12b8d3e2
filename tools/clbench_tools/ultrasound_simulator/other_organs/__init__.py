"""Organs that no task of a stream shows; a model may see them before it meets the streams."""
