"""Ranked samples in an order in which classes take turns, so that the first k have nearly equally many of each."""

import torch
from torch import Tensor

from clbench.contracts import Samples


def positions_by_class(samples: Samples) -> list[Tensor]:
    """Positions of the samples of each class, `(n_c,)` int64 on the CPU; one class where samples have no label."""
    if "label" not in samples.tensors:
        return [torch.arange(len(samples))]
    labels = samples.tensors["label"].cpu()
    return [(labels == label).nonzero()[:, 0] for label in labels.unique()]


def in_turns(order: Tensor, classes: list[Tensor]) -> Tensor:
    """Ranked positions, reordered: the first of each class, then the second of each class, and so on.

    Args:
        order: Positions `(k,)` int64, the most important first.
        classes: Positions of the samples of each class, all samples together.
    """
    owner = torch.empty(sum(map(len, classes)), dtype=torch.int64)
    for number, own in enumerate(classes):
        owner[own] = number
    of_ranked = owner[order]
    rounds = torch.empty_like(order)
    for number in range(len(classes)):
        own = of_ranked == number
        rounds[own] = torch.arange(int(own.sum()))
    return order[rounds.argsort(stable=True)]
