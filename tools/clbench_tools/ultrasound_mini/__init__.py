"""Builds the stream ultrasound-mini from the simulator; never imported at run time."""
