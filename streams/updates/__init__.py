"""Streams in which a new release of the model comes and the tasks stay."""
