"""TIES-Merging: trim, elect signs, merge what agrees with them (Yadav et al. 2023, Algorithm 1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Function = Literal["sum", "mean"]


@dataclass(frozen=True)
class Trimmed:
    """The largest entries of a flat task vector.

    Attributes:
        places: Their positions `(k,)`, ascending; int32 where all positions fit, else int64.
        values: Their values `(k,)`.
    """

    places: Tensor
    values: Tensor


def trim(entries: Tensor, keep: float) -> Trimmed:
    """Keep the entries of largest absolute value; of equal ones at the border, those that come first.

    The number is exact, `round(keep * n)` and at least 1 of a vector that is not empty. A threshold alone would keep
    all equal entries.

    Args:
        entries: A flat task vector `(n,)`.
        keep: Share of entries to keep, in (0, 1].
    """
    n = len(entries)
    if not n:
        return Trimmed(torch.zeros(0, dtype=torch.int32, device=entries.device), entries)
    wanted = max(1, round(keep * n))
    size = entries.abs()
    border = size.kthvalue(n - wanted + 1).values
    kept = size > border
    equal = (size == border).nonzero().squeeze(1)
    kept[equal[: wanted - int(kept.sum())]] = True
    places = kept.nonzero().squeeze(1)
    fits = n <= torch.iinfo(torch.int32).max
    return Trimmed(places.to(torch.int32) if fits else places, entries[places])


def elect(vectors: Sequence[Trimmed], n: int) -> Tensor:
    """The elected sign of every entry, `(n,)` of -1, 0 and 1: that of the sum over tasks.

    Where the sum is 0, the sign is that of the sum of all signs, as in the authors' code.

    Args:
        vectors: Trimmed task vectors.
        n: Number of entries.
    """
    total = torch.zeros(n, dtype=vectors[0].values.dtype, device=vectors[0].values.device)
    for vector in vectors:
        total.index_add_(0, vector.places, vector.values)
    signs = total.sign()
    return torch.where(signs == 0, signs.double().sum().sign().to(signs), signs)


def agreeing(vector: Trimmed, signs: Tensor) -> Tensor:
    """The values of a trimmed task vector that have the elected sign, 0 for the others; `(k,)`."""
    return torch.where(vector.values.sign() == signs[vector.places], vector.values, 0.0)


def merge_agreeing(vectors: Sequence[Trimmed], signs: Tensor, function: Function) -> Tensor:
    """The sum or mean, entry by entry, of the values that have the elected sign; `(n,)`.

    Args:
        vectors: Trimmed task vectors.
        signs: Elected signs `(n,)`.
        function: Whether to add the values or to average those that are not 0.
    """
    total, number = torch.zeros_like(signs), torch.zeros_like(signs)
    for vector in vectors:
        values = agreeing(vector, signs)
        total.index_add_(0, vector.places, values)
        number.index_add_(0, vector.places, (values != 0).to(signs.dtype))
    return total if function == "sum" else total / number.clamp(min=1)


def ties(vectors: Sequence[Trimmed], n: int, function: Function) -> tuple[Tensor, Tensor]:
    """Elect signs and merge.

    Args:
        vectors: Trimmed task vectors.
        n: Number of entries.
        function: Sum or mean.

    Returns:
        The merged task vector `(n,)`, and the squared norm of what of the last task vector enters it, a scalar.
    """
    signs = elect(vectors, n)
    entering = agreeing(vectors[-1], signs).double().square().sum()
    return merge_agreeing(vectors, signs, function), entering
