"""DARE: drop entries at random and rescale the others (Yu et al. 2024)."""

import torch

from clbench.strategies._merging.task_vectors import Vectors


def drop_and_rescale(vectors: Vectors, p: float, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Set each entry to 0 with probability p and divide the others by 1 - p; the expectation stays.

    Args:
        vectors: Tensors by name; masks are drawn in this order.
        p: Probability in [0, 1).
        generator: Source of randomness, on the CPU.
    """
    found = {}
    for name, tensor in vectors.items():
        kept = torch.rand(tensor.shape, generator=generator) >= p
        found[name] = tensor * kept.to(tensor.device) / (1 - p)
    return found
