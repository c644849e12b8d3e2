"""Entries drawn uniformly, as many as are wanted or as another choice has."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from clbench.strategies._parts.part import Trained


def drawn(size: int, count: int, generator: torch.Generator) -> Tensor:
    """A mask `(size,)` on the CPU with `count` entries drawn uniformly, all of them if there are fewer.

    Args:
        size: Number of entries.
        count: Number of entries that are drawn.
        generator: Source of randomness, on the CPU.
    """
    mask = torch.zeros(size, dtype=torch.bool)
    mask[torch.randperm(size, generator=generator)[:count]] = True
    return mask


def shuffled(mask: Tensor, generator: torch.Generator) -> Tensor:
    """A mask with as many entries as another, drawn uniformly."""
    order = torch.randperm(mask.numel(), generator=generator).to(mask.device)
    return mask.flatten()[order].view(mask.shape)


def exchanged(trained: Sequence[Trained], counts: Mapping[str, int], generator: torch.Generator) -> dict[str, int]:
    """Counts permuted among layers that have the same shapes; tensors of no layer keep theirs.

    Args:
        trained: Tensors.
        counts: A number for each tensor, by its name.
        generator: Source of randomness, on the CPU.
    """
    layers: dict[str, list[Trained]] = defaultdict(list)
    for item in trained:
        layers[item.layer.name if item.layer else item.name].append(item)
    alike: dict[object, list[list[Trained]]] = defaultdict(list)
    for name, items in layers.items():
        alike[tuple(item.parameter.shape for item in items) if items[0].layer else name].append(items)
    found: dict[str, int] = {}
    for group in alike.values():
        for items, place in zip(group, torch.randperm(len(group), generator=generator).tolist(), strict=True):
            found |= {item.name: counts[other.name] for item, other in zip(items, group[place], strict=True)}
    return found
