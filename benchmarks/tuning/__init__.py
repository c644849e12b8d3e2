"""The search of settings: the same number of trials for every strategy, on validation data, recorded."""
