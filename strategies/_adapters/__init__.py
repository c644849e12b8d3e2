"""Low-rank adapters, and the list of PEFT's tuners."""
