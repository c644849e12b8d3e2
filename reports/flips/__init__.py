"""Flips: answers that change between right and wrong, between two models or along the versions of one."""
