"""Results that are passed on: folders that stand alone, and the recomputation of all that they claim."""
