"""Distance of a version's weights from the version before and from version 0, and the structure of the difference."""

import math
from collections.abc import Mapping, Sequence, Set

import torch
from torch import Tensor

from clbench.benchmarks.engine.update_structure import (
    LARGEST_MATRIX,
    cosine,
    mean_ranks,
    rank_shares,
    unchanged_counts,
)
from clbench.contracts import Learner

Weights = Mapping[str, Tensor]
SHARES = ("update/sparsity", "update/sparsity_relative", "update/zeros")
"""Names of the counts of `unchanged_counts`, as shares of all weights."""
RANKS = ("update/rank", "update/stable_rank")
"""Names of the means of `rank_shares`."""


class Drift:
    """Measures the distance of each version of a learner from the one before and from version 0.

    All named parameters count, tied weights once; buffers (masks, statistics) do not. Version 0 is kept once and the
    previous version only where it differs from version 0, both in the computer's memory; to compare, one tensor at a
    time goes to the device. So the device never holds a second model: a CLIP of 150 million weights takes 0.6 GB of the
    computer's memory, 1.2 GB if all of them are trained; a LLaMA of 7 billion in bfloat16 takes 14 GB and 27 GB.

    Args:
        learner: The learner at version 0.
    """

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        self._first: dict[str, Tensor] = {name: _kept(p) for name, p in self._weights().items()}
        self._previous = dict(self._first)
        self._way = 0.0
        """Distance of the previous version from version 0."""

    def measure(self) -> dict[str, float]:
        """Compare the learner with the version before and with version 0, and remember it as the version before.

        A resumed cell calls this once with the loaded version and ignores the result.

        Returns:
            `update/norm` and `update/drift`: Frobenius distances to the version before and to version 0.
            `update/sparsity`, `update/sparsity_relative`, `update/zeros`: shares of all weights that changed by at most
            an absolute tolerance, by at most a tolerance relative to their tensor, and not at all.
            `update/cosine_drift`: cosine of the update with all updates before it together; absent if undefined.
            `update/rank`, `update/stable_rank`: means over the linear layers that changed, as shares of full rank;
            absent if none changed or one of them has a smaller side above `LARGEST_MATRIX`.
        """
        weights = self._weights()
        step = squared_gaps(weights, self._previous)
        # Where the previous version is version 0, one comparison answers both questions.
        names = self._previous.keys() | self._first.keys()
        apart = {name for name in names if self._previous.get(name) is not self._first.get(name)}
        way = _only(step, step.keys() - apart) | squared_gaps(_only(weights, apart), _only(self._first, apart))
        numbers = _read([*step.values(), *way.values()])
        changed = {name for name, number in zip(step, numbers, strict=False) if number != 0}
        norm, drift = _root(numbers[: len(step)]), _root(numbers[len(step) :])
        together = cosine(norm, self._way, drift)
        found = {
            "update/norm": norm,
            "update/drift": drift,
            **self._structure(weights, changed),
            **({} if together is None else {"update/cosine_drift": together}),
        }
        self._way = drift
        self._previous = {
            name: _kept(p) if name in changed or name not in self._previous else self._previous[name]
            for name, p in weights.items()
        }
        return found

    @torch.no_grad()
    def _structure(self, weights: Weights, changed: Set[str]) -> dict[str, float]:
        """Shares of weights that stayed as they are, and ranks; only tensors that changed are looked at."""
        previous, device = self._previous, self._learner.device
        linear = {f"{layer.name}.weight" for layer in self._learner.linear_layers()}
        linear &= changed & weights.keys() & previous.keys()
        ranked = linear if all(min(weights[name].shape) <= LARGEST_MATRIX for name in linear) else set()
        still = sum(tensor.numel() for name, tensor in {**previous, **weights}.items() if name not in changed)
        counts, ranks, moved = [torch.zeros(len(SHARES), dtype=torch.int64, device=device)], [], 0
        for name in sorted(changed):
            change = _difference([state[name] for state in (previous, weights) if name in state], device)
            before = previous.get(name)
            counts.append(unchanged_counts(change, None if before is None else before.to(device)))
            moved += change.numel()
            if name in ranked:
                ranks.append(rank_shares(change))
        totals = torch.stack(counts).sum(dim=0).tolist()
        found = {name: (still + total) / max(1, still + moved) for name, total in zip(SHARES, totals, strict=True)}
        means = mean_ranks(ranks)
        return found | ({} if means is None else dict(zip(RANKS, means, strict=True)))

    def _weights(self) -> dict[str, Tensor]:
        return {name: p.detach() for name, p in self._learner.module.named_parameters() if p.is_floating_point()}


def distance(state: Weights, other: Weights) -> float:
    """Frobenius distance of two states: the root of the sum of all squared differences; waits for the device once.

    Whole numbers (counters, quantised weights) are left out. What only one of the states has counts as if the other
    had zeros: a new name with its full norm, and so do the new rows of a tensor that has grown.

    Args:
        state: Tensors by name; the work is done where they are.
        other: Tensors by name, on any device; one at a time is moved.
    """
    return _root(_read(list(squared_gaps(state, other).values())))


@torch.no_grad()
def squared_gaps(state: Weights, other: Weights) -> dict[str, Tensor]:
    """Squared Frobenius distance by name, float64 scalars still on the device of `state`; see `distance`."""
    device = next((tensor.device for tensor in state.values()), torch.device("cpu"))
    squares: dict[str, Tensor] = {}
    for name in dict.fromkeys((*state, *other)):
        pair = [tensor for tensor in (state.get(name), other.get(name)) if tensor is not None]
        if all(tensor.is_floating_point() for tensor in pair):
            gap = _difference(pair, device)
            squares[name] = gap.square_().sum().double()  # sum() adds pairwise, so float32 is exact enough for a tensor
    return squares


def _difference(pair: Sequence[Tensor], device: torch.device) -> Tensor:
    """The second tensor minus the first, or a copy of the only one, on a device and in float32 at least."""
    *rest, last = pair
    wide = torch.promote_types(torch.promote_types(pair[0].dtype, last.dtype), torch.float32)
    if not rest or rest[0].shape == last.shape:
        gap = last.to(device, wide, copy=True)
        return gap.sub_(rest[0].to(device)) if rest else gap
    gap = torch.zeros([max(sizes) for sizes in zip(*(t.shape for t in pair), strict=True)], dtype=wide, device=device)
    for tensor, sign in zip(pair, (-1, 1), strict=True):
        gap[tuple(slice(size) for size in tensor.shape)].add_(tensor.to(device), alpha=sign)
    return gap


def _read(squares: Sequence[Tensor]) -> list[float]:
    """Scalars from the device in one go."""
    numbers: list[float] = torch.stack(list(squares)).tolist() if squares else []
    return numbers


def _root(squares: Sequence[float]) -> float:
    return math.sqrt(math.fsum(squares))


def _kept(tensor: Tensor) -> Tensor:
    """A copy in the computer's memory."""
    return tensor.to("cpu", copy=True)


def _only(weights: Weights, names: Set[str]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in weights.items() if name in names}
