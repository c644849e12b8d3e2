"""Outputs of teachers and the distance of a student from them."""
