"""Which single answers got worse: flips between two models, or along the versions of one."""
