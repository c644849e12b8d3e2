"""What strategies that compress a model share: calibration samples, allocation of a budget, rounding, pruning."""
