"""Engines: where the cells of a suite run, on this machine, under SLURM or on a Ray cluster."""
