"""Loops of gradient training, and what they train on."""
