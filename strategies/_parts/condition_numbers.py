"""Condition numbers of matrices, and which matrices have the lowest ones."""

from collections import Counter, defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor

EPS = 1e-8


@torch.no_grad()
def condition_number(weight: Tensor) -> float:
    """s_max / (s_min + 1e-8) of a matrix, in float64."""
    values = torch.linalg.svdvals(weight.detach().double())
    return float(values[0] / (values[-1] + EPS))


def lowest(weights: Mapping[str, Tensor], share: float, within_shape: bool) -> list[str]:
    """Names of the matrices with the lowest condition numbers, ascending.

    Args:
        weights: Matrices by name.
        share: Share of them, rounded down; at least one.
        within_shape: Whether to rank by the quantile among matrices of the same shape; ties by condition number.
    """
    found = {name: condition_number(weight) for name, weight in weights.items()}
    order = sorted(found, key=found.__getitem__)
    if within_shape:
        sizes = Counter(weight.shape for weight in weights.values())
        ranks: dict[torch.Size, int] = defaultdict(int)
        quantiles = {}
        for name in order:
            shape = weights[name].shape
            quantiles[name] = (ranks[shape] + 0.5) / sizes[shape]
            ranks[shape] += 1
        order.sort(key=quantiles.__getitem__)
    return order[: max(1, int(share * len(order) + EPS))]
