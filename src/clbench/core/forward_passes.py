"""How many samples have passed through models: a count of this process that only rises, as a clock does.

It is kept by hooks of modules, so it counts every pass, whoever asks for it: a training loop, a teacher, a calibration.
It reads shapes only: nothing waits for the device, and no result depends on it.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Passes:
    """Numbers of samples in forward passes; a sample counts as often as it passes.

    Attributes:
        with_gradient: Samples in passes that gradients can be computed for, as in training.
        without_gradient: Samples in all other passes, such as those of teachers and calibrations.
    """

    with_gradient: int = 0
    without_gradient: int = 0

    def __add__(self, other: "Passes") -> "Passes":
        return Passes(self.with_gradient + other.with_gradient, self.without_gradient + other.without_gradient)

    def __sub__(self, other: "Passes") -> "Passes":
        return Passes(self.with_gradient - other.with_gradient, self.without_gradient - other.without_gradient)


class _Count:
    """The count of this process."""

    def __init__(self) -> None:
        self.with_gradient = 0
        self.without_gradient = 0
        self.paused = False


_COUNT = _Count()


def passes_so_far() -> Passes:
    """All passes of this process so far; the difference of two calls is what passed in between."""
    return Passes(_COUNT.with_gradient, _COUNT.without_gradient)


def count_passes(module: nn.Module) -> None:
    """Count the samples of every call of a module from now on, and of its deep copies.

    Samples are the rows of the first tensor among the arguments; a call without a tensor counts nothing.
    """
    module.register_forward_pre_hook(_count, with_kwargs=True)


@contextlib.contextmanager
def passes_uncounted() -> Iterator[None]:
    """Leave out calls that only go on from earlier passes of the same samples."""
    before, _COUNT.paused = _COUNT.paused, True
    try:
        yield
    finally:
        _COUNT.paused = before


def _count(_module: nn.Module, args: tuple[object, ...], kwargs: Mapping[str, object]) -> None:
    if _COUNT.paused:
        return
    rows = _rows_of((*args, *kwargs.values()))
    if torch.is_grad_enabled():
        _COUNT.with_gradient += rows
    else:
        _COUNT.without_gradient += rows


def _rows_of(values: Iterable[object]) -> int:
    """Rows of the first tensor that has rows, 0 if there is none."""
    for value in values:
        if isinstance(value, Tensor) and value.dim():
            return value.shape[0]
        if isinstance(value, Mapping) and (rows := _rows_of(value.values())):
            return rows
    return 0
