"""Penalties: terms of the loss that keep what earlier tasks need."""
