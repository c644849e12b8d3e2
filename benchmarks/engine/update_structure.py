"""What an update looks like: how many weights it leaves alone, what ranks it has, where two updates overlap.

The measures are those of Mukherjee et al. 2025 (arXiv 2505.11711), on float32 weights. They compare bfloat16 weights,
in which a step of 1e-5 on a weight of 0.02 is lost. So their shares of unchanged weights cannot be compared with ours.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

TOLERANCE = 1e-5
"""Absolute tolerance of `update/sparsity`: a change up to it does not count."""
RELATIVE_TOLERANCE = 1e-3
"""Tolerance of `update/sparsity_relative`, as a share of the root mean square of the tensor before the update."""
LARGEST_MATRIX = 256
"""Largest smaller side of a matrix whose singular values are computed after every update."""


@torch.no_grad()
def unchanged_counts(change: Tensor, before: Tensor | None) -> Tensor:
    """How many entries of one tensor an update leaves alone, in three senses.

    Args:
        change: The tensor after the update minus the one before.
        before: The tensor before; None if it is new, so that its root mean square is 0.

    Returns:
        `(3,)` int64 on the device of `change`: entries that changed by at most `TOLERANCE`, by at most
        `RELATIVE_TOLERANCE` of the root mean square, and not at all.
    """
    size = change.abs()
    rms = size.new_zeros(()) if before is None else before.to(size).square().mean().sqrt()
    limits = torch.stack([size.new_tensor(TOLERANCE), RELATIVE_TOLERANCE * rms, size.new_zeros(())])
    return torch.stack([(size <= limit).sum() for limit in limits])


@torch.no_grad()
def rank_shares(change: Tensor) -> Tensor:
    """Rank and stable rank of the change of one matrix, as shares of its smaller side.

    The rank counts singular values above s_1 max(shape) eps with eps of float32, as `torch.linalg.matrix_rank` does.
    The stable rank ||change||_F^2 / ||change||_2^2 does not jump when a small singular value crosses that limit.

    Args:
        change: Matrix `(out, in)`.

    Returns:
        `(2,)` float64 on the device of `change`, each in [0, 1]; NaN for a matrix of zeros.
    """
    values = torch.linalg.svdvals(change.float()).double()
    limit = values[0] * max(change.shape) * torch.finfo(torch.float32).eps
    rank = torch.where(values[0] > 0, (values > limit).sum().double(), torch.nan)
    return torch.stack([rank, values.square().sum() / values[0].square()]) / len(values)


def cosine(norm: float, earlier: float, together: float) -> float | None:
    """Cosine of two successive changes from their norms and from the norm of their sum, in [-1, 1].

    The law of cosines: ||a + b||^2 = ||a||^2 + ||b||^2 + 2 ||a|| ||b|| cos. So no weights are needed besides those that
    norms are measured with.

    Args:
        norm: Norm of one change.
        earlier: Norm of the other change.
        together: Norm of their sum.

    Returns:
        The cosine; None if one of the changes is zero.
    """
    if not norm or not earlier:
        return None
    found = (together**2 - norm**2 - earlier**2) / (2 * norm * earlier)
    return max(-1.0, min(1.0, found))


@torch.no_grad()
def overlap(
    one: Mapping[str, Tensor], other: Mapping[str, Tensor], tolerance: float = TOLERANCE
) -> tuple[float, float]:
    """Whether two updates change the same weights: the share in common beside what chance gives.

    Args:
        one: Changes of one update, by name of the weight.
        other: Changes of the other update, with the same names and shapes.
        tolerance: Changes of at most this size do not count.

    Returns:
        The share of the weights changed by `one` that `other` changes as well, and the share of all weights that
        `other` changes, which is what an independent choice would have in common; both in [0, 1], NaN if undefined.
    """
    masks = [(one[name].abs() > tolerance, other[name].abs() > tolerance) for name in one]
    both = sum(int((a & b).sum()) for a, b in masks)
    return (
        _ratio(both, sum(int(a.sum()) for a, _ in masks)),
        _ratio(sum(int(b.sum()) for _, b in masks), sum(a.numel() for a, _ in masks)),
    )


def mean_ranks(shares: Sequence[Tensor]) -> tuple[float, float] | None:
    """Means of `rank_shares` over the matrices that changed; None without any. Waits for the device once."""
    found = [pair for pair in torch.stack(list(shares)).tolist() if not math.isnan(pair[0])] if shares else []
    if not found:
        return None
    ranks, stable = zip(*found, strict=True)
    return math.fsum(ranks) / len(ranks), math.fsum(stable) / len(stable)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
