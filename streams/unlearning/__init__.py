"""Streams whose models are asked to forget training samples, with the models retrained without them."""
