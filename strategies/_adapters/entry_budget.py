"""How layers share a number of entries: by the sensitivity of their factors, as SNELLA has it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from clbench.strategies._adapters.kernel_adapter import KernelFactors


def shares_of(budget: Tensor, scores: Tensor, sizes: Tensor) -> Tensor:
    """Divide a number of entries among layers in proportion to scores, but no more to a layer than it has.

    What a full layer cannot take goes to the others in proportion. So layer i gets min(size_i, c score_i), rounded
    down, with the c that spends the budget. Layers of score 0 get nothing, unless all scores are 0: then sizes decide.

    Args:
        budget: Number of entries to divide, a scalar of at most the sum of sizes.
        scores: Score of each layer, `(layers,)`, at least 0.
        sizes: Number of entries of each layer, `(layers,)`.

    Returns:
        `(layers,)` int64.
    """
    scores, sizes, budget = scores.double(), sizes.double(), budget.double()
    scores = torch.where(scores.sum() > 0, scores, sizes)
    fill = sizes / scores  # the c at which a layer is full
    order = fill.argsort()
    at = torch.arange(len(order), device=order.device)
    before = at < at.unsqueeze(1)  # sums of rows, as cumulative sums on CUDA have no fixed order
    full, rest = (sizes[order] * before).sum(dim=1), (scores[order] * ~before).sum(dim=1)
    levels = torch.where(rest > 0, (budget - full) / rest, 0.0)  # c if exactly the layers before were full: c or less
    level = levels.max()
    return torch.minimum(sizes, level * scores).add(1e-6).long()  # so that round-off does not lose an entry


class Sensitivity:
    """Scores of layers from moving averages of |p grad(p)| over steps, as AdaLoRA has them.

    A parameter's entry has the average of |p grad(p)| times the average of its distance from that average. A layer's
    score is the mean over `inputs` plus the mean over `outputs`.

    Args:
        factors: The factors of all layers.
        decay: Decay rate of both averages, in (0, 1).
    """

    def __init__(self, factors: Sequence[KernelFactors], decay: float) -> None:
        self._parameters = [p for found in factors for p in (found.inputs, found.outputs)]
        self._decay = decay
        self._mean = [torch.zeros_like(p) for p in self._parameters]
        self._spread = [torch.zeros_like(p) for p in self._parameters]

    @torch.no_grad()
    def update(self) -> Tensor:
        """Take in the gradients of a step; returns the scores `(layers,)`."""
        scores = []
        for p, mean, spread in zip(self._parameters, self._mean, self._spread, strict=True):
            assert p.grad is not None
            size = (p * p.grad).abs()
            mean.lerp_(size, 1 - self._decay)
            spread.lerp_((size - mean).abs(), 1 - self._decay)
            scores.append((mean * spread).mean())
        return torch.stack(scores).reshape(-1, 2).sum(dim=1)
