"""Masks of a training loop: gradients of what does not move are 0, and its weights keep their bits."""

from collections.abc import Sequence

import torch
from torch import Tensor

from clbench.strategies._parts.part import Trained
from clbench.strategies._parts.selector import Masks


class Masking:
    """The masks of one update.

    Args:
        trained: What the strategy trains.
        masks: What of it moves; None if all does.
        restores: Whether decay, the optimizer or a hook may move entries without a gradient. Then a copy of each
            parameter that moves in part is kept, and these entries are put back after each step.
    """

    def __init__(self, trained: Sequence[Trained], masks: Masks | None, restores: bool = True) -> None:
        self.trained = [item for item in trained if masks is None or item.name in masks]
        """The parameters that move, whole or in part."""
        found = [(item.parameter, masks[item.name]) for item in self.trained] if masks is not None else []
        self._partial = [(p, mask) for p, mask in found if mask is not None]
        self._starts = [_bits(p).clone() for p, _ in self._partial] if restores else []

    @torch.no_grad()
    def mask_gradients(self) -> None:
        """Set gradients of masked entries to 0."""
        for p, mask in self._partial:
            if p.grad is not None:
                _bits(p.grad).mul_(mask)

    @torch.no_grad()
    def restore(self) -> None:
        """Put masked entries back to their values at the start of the update."""
        for (p, mask), start in zip(self._partial, self._starts, strict=False):  # none are kept if nothing restores
            _bits(p).bitwise_xor_(start).mul_(mask).bitwise_xor_(start)


def _bits(tensor: Tensor) -> Tensor:
    """A float32 tensor's bits as integers, in the same memory.

    Integers times a mask are faster than `torch.where`, exact, and 0 where a masked gradient is not finite.
    """
    return tensor.detach().view(torch.int32)
