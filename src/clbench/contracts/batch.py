"""A batch: named tensors of the same samples."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch.nn.functional as F
from torch import Tensor, cat

Batch: TypeAlias = Mapping[str, Tensor]
"""Named tensors with one row per sample, all on one device; the names are those that `Learner.encode` gave."""


def joined(parts: Sequence[Batch]) -> Batch:
    """Concatenate batches along the samples; tensors `(n, width)` are padded with zeros to the widest of them."""
    return {name: cat(_padded([part[name] for part in parts])) for name in parts[0]}


def _padded(tensors: Sequence[Tensor]) -> list[Tensor]:
    if tensors[0].ndim != 2:
        return list(tensors)
    width = max(tensor.shape[1] for tensor in tensors)
    return [F.pad(tensor, (0, width - tensor.shape[1])) for tensor in tensors]
