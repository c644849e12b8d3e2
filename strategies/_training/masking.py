"""Masks of a training loop: gradients of what does not move are 0, and its weights keep their bits."""

from collections.abc import Sequence

import torch
from torch import Tensor

from clbench.strategies._parts.part import Trained
from clbench.strategies._parts.selector import Masks


class Masking:
    """The masks of one update.

    A copy of each parameter that moves in part is kept. Decay and momentum would otherwise move entries without a
    gradient.

    Args:
        trained: What the strategy trains.
        masks: What of it moves; None if all does.
    """

    def __init__(self, trained: Sequence[Trained], masks: Masks | None) -> None:
        self.trained = [item for item in trained if masks is None or item.name in masks]
        """The parameters that move, whole or in part."""
        found = [(item.parameter, masks[item.name]) for item in self.trained] if masks is not None else []
        self._partial = [(p, mask, p.detach().clone()) for p, mask in found if mask is not None]

    @torch.no_grad()
    def mask_gradients(self) -> None:
        """Set gradients of masked entries to 0."""
        for p, mask, _ in self._partial:
            if p.grad is not None:
                _bits(p.grad).mul_(mask)

    @torch.no_grad()
    def restore(self) -> None:
        """Put masked entries back to their values at the start of the update."""
        for p, mask, start in self._partial:
            _bits(p).bitwise_xor_(_bits(start)).mul_(mask).bitwise_xor_(_bits(start))


def _bits(tensor: Tensor) -> Tensor:
    """A float32 tensor's bits as integers, in the same memory.

    Integers times a mask are faster than `torch.where`, exact, and 0 where a masked gradient is not finite.
    """
    return tensor.detach().view(torch.int32)
