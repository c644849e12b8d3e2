"""Which values start to move in a step when a selector releases them little by little, as ID3 does."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

BLOCK = 64
"""Values that are compared by their largest one first."""


def released_by(step: int, total: int, budget: int) -> int:
    """Number of values released in the first steps of an update.

    Args:
        step: Number of these steps.
        total: Number of steps of the update.
        budget: Number of values released in all.
    """
    each, more = divmod(budget, total)
    return step * each + min(step, more)


def pieces_of(values: Tensor, parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    """A vector of all values, in pieces that have the shapes of the parameters and share its memory."""
    pieces = values.split([p.numel() for p in parameters])
    return [piece.view(p.shape) for piece, p in zip(pieces, parameters, strict=True)]


def top_positions(values: Tensor, count: int) -> Tensor:
    """Positions of the largest values, int64, in no order; of equal values any.

    The `count` blocks with the largest maxima hold the `count` largest values. So only their values are sorted out,
    which is several times faster than `topk` of all, and does not wait for the device.

    Args:
        values: `(n,)`.
        count: Number of positions, at most n.
    """
    whole = len(values) // BLOCK * BLOCK
    if 4 * count * BLOCK > whole:
        return values.topk(count, sorted=False).indices
    best = values[:whole].view(-1, BLOCK).amax(dim=1).topk(count, sorted=False).indices
    inside = (best.unsqueeze(1) * BLOCK + torch.arange(BLOCK, device=values.device)).flatten()
    candidates = torch.cat([inside, torch.arange(whole, len(values), device=values.device)])
    return candidates[values[candidates].topk(count, sorted=False).indices]


class GradientScores:
    """The scores |g| / (|theta| + eps)^p of all values, 0 where there is no gradient.

    Args:
        parameters: The parameters.
        p: Exponent.
        eps: Added to |theta|.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], p: float, eps: float) -> None:
        self._parameters, self._p, self._eps = parameters, p, eps
        self._scores = torch.cat([torch.zeros_like(theta).flatten() for theta in parameters])
        self._pieces = pieces_of(self._scores, parameters)

    @torch.no_grad()
    def top(self, count: int, without: Tensor) -> Tensor:
        """Positions of the largest scores after a backward pass, int64.

        Args:
            count: Number of positions.
            without: Positions that are left out.
        """
        for score, theta in zip(self._pieces, self._parameters, strict=True):
            if theta.grad is None:
                score.zero_()
            else:
                torch.abs(theta.grad, out=score)
            if self._p:
                score *= (theta.abs() + self._eps) ** -self._p
        self._scores.index_fill_(0, without, -torch.inf)
        return top_positions(self._scores, count)
