"""What a suite will cost, measured on a few real steps."""
