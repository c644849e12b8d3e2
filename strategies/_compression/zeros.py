"""Zeros in weight matrices: which weights become 0, and how many bits the others take."""

import torch
from torch import Tensor


def zero_lowest(weight: Tensor, scores: Tensor, width: int, count: int) -> Tensor:
    """A weight matrix in which the weights of the lowest scores are 0.

    Args:
        weight: `(out, in)`.
        scores: Score of each weight, same shape; of equal scores the first is taken.
        width: Number of consecutive weights that compete with one another: all, those of a row, or M of a row.
        count: Number of zeros among them.
    """
    lowest = scores.reshape(-1, width).argsort(dim=-1, stable=True)[:, :count]
    mask = torch.zeros_like(scores.reshape(-1, width), dtype=torch.bool).scatter_(1, lowest, True)
    return weight.masked_fill(mask.view_as(weight), 0.0)


def bits_of(weights: int, zeros: int) -> int:
    """Bits of a pruned matrix: a bitmap of the zeros and float32 for all others, or all in float32 if that is less."""
    return min(32 * weights, weights + 32 * (weights - zeros))
