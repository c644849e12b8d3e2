"""NaN and infinity among weights and scores: found in one pass, reported by name."""

import math
from collections import defaultdict
from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn


def finite_rows(scores: Tensor) -> Tensor:
    """Whether all numbers in each row of `(n, ...)` are finite, bool `(n,)`; without synchronising with the device."""
    if not scores.numel():
        return torch.ones(len(scores), dtype=torch.bool, device=scores.device)
    least, largest = scores.detach().reshape(len(scores), -1).aminmax(dim=1)
    return least.isfinite() & largest.isfinite()


def not_finite(tensors: Mapping[str, Tensor], infinite: Collection[str] = ()) -> str | None:
    """Describe the tensors with NaN or infinite values; None if all values are finite.

    Each tensor is read once, without a copy; each device is synchronised once.

    Args:
        tensors: Tensors by name; only those of floating-point numbers are checked.
        infinite: Names of tensors that may hold infinity, but not NaN.
    """
    ends: dict[torch.device, list[tuple[str, Tensor]]] = defaultdict(list)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and tensor.numel():
            ends[tensor.device].append((name, torch.stack(tensor.detach().aminmax()).double()))
    bad = []
    for found in ends.values():
        for (name, _), pair in zip(found, torch.stack([pair for _, pair in found]).tolist(), strict=True):
            if any(map(math.isnan, pair)) or (name not in infinite and any(map(math.isinf, pair))):
                bad.append(name)
    if not bad:
        return None
    tensor = tensors[bad[0]]
    count = int((tensor.isnan() if bad[0] in infinite else ~tensor.isfinite()).sum())
    more = {1: "", 2: " (and one more tensor has some)"}.get(len(bad), f" (and {len(bad) - 1} more tensors have some)")
    return f"{count} of {tensor.numel()} values of {bad[0]} are not finite{more}"


def unsound_weights(module: nn.Module) -> str | None:
    """Describe parameters that are not finite and buffers with NaN; buffers may hold infinity, as masks do."""
    buffers = dict(module.named_buffers())
    return not_finite({**dict(module.named_parameters()), **buffers}, buffers)
