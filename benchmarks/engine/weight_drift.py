"""Distance of a version's weights from the version before and from version 0."""

import math
from collections.abc import Mapping, Sequence, Set

import torch
from torch import Tensor

from clbench.contracts import Learner

Weights = Mapping[str, Tensor]


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

    def measure(self) -> dict[str, float]:
        """Compare the learner with the version before and with version 0, and remember it as the version before.

        A resumed cell calls this once with the loaded version and ignores the result.

        Returns:
            `update/norm` and `update/drift`: Frobenius distances to the version before and to version 0.
        """
        weights = self._weights()
        step = squared_gaps(weights, self._previous)
        # Where the previous version is version 0, one comparison answers both questions.
        names = self._previous.keys() | self._first.keys()
        apart = {name for name in names if self._previous.get(name) is not self._first.get(name)}
        way = _only(step, step.keys() - apart) | squared_gaps(_only(weights, apart), _only(self._first, apart))
        numbers = _read([*step.values(), *way.values()])
        changed = {name for name, number in zip(step, numbers, strict=False) if number != 0}
        self._previous = {
            name: _kept(p) if name in changed or name not in self._previous else self._previous[name]
            for name, p in weights.items()
        }
        return {"update/norm": _root(numbers[: len(step)]), "update/drift": _root(numbers[len(step) :])}

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
