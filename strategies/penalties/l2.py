"""Squared distance to the weights of the version before the task."""

from typing import final

import torch
from torch import Tensor

from clbench.contracts import Batch, Task
from clbench.core.registry import PENALTIES
from clbench.strategies._parts.penalty import Penalty, PenaltyConfig


@PENALTIES.register("l2", config=PenaltyConfig)
@final
class L2(Penalty[PenaltyConfig]):
    """Adds strength * ||theta - theta_t||^2 (L2-SP with the last version as its start, Li et al. 2018, Eq. 2)."""

    needs_weights = True

    def begin_task(self, task: Task) -> None:
        """Keep the weights before the task; the first task has nothing to keep."""
        shared = self.shared_weights() if len(self.strategy.seen) > 1 else {}
        self._pairs = [(p, p.detach().clone()) for p in shared.values()]

    def term(self, batch: Batch, task: Task) -> Tensor | None:
        """The squared distance, a scalar."""
        terms = [(p - anchor).square().sum() for p, anchor in self._pairs if p.requires_grad]
        return torch.stack(terms).sum() if terms else None

    def end_task(self, task: Task) -> None:
        """Drop the copy."""
        self._pairs = []
