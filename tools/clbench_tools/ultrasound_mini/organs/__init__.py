"""Phantoms of the stream's organs: a patient's anatomy, and one view of it."""
