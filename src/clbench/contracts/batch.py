"""A batch: named tensors of the same samples."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch.nn.functional as F
from torch import Tensor, cat

Batch: TypeAlias = Mapping[str, Tensor]
"""Named tensors whose first dimension is the sample, all on one device; a learner's `encode` decides the names."""


def joined(parts: Sequence[Batch]) -> Batch:
    """Concatenate batches along the samples; tensors `(n, width)` of several widths are padded with zeros."""
    return {name: cat(_padded([part[name] for part in parts])) for name in parts[0]}


def _padded(tensors: Sequence[Tensor]) -> list[Tensor]:
    if tensors[0].ndim != 2:
        return list(tensors)
    width = max(tensor.shape[1] for tensor in tensors)
    return [F.pad(tensor, (0, width - tensor.shape[1])) for tensor in tensors]
