"""Language models: inputs are read, answers are written or chosen."""
