"""MagMax: of several task vectors, the entry of largest absolute value (Marczak et al. 2024)."""

import torch

from clbench.strategies._merging.task_vectors import Vectors


def larger_entries(running: Vectors, new: Vectors) -> dict[str, torch.Tensor]:
    """Entry by entry the value of larger magnitude, of equal ones the new one; folding tasks by it is exact.

    Args:
        running: The largest entries so far.
        new: A task vector of the same names and shapes.
    """
    return {name: torch.where(old.abs() > new[name].abs(), old, new[name]) for name, old in running.items()}
