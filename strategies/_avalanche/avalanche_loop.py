"""The plugin by which Avalanche's training loop keeps clbench's budget, schedule and clipping."""

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from clbench.strategies._training.optimization import clip_gradient


@dataclass(frozen=True)
class Optimization:
    """Optimizer of a task, with schedule and clipping.

    Attributes:
        optimizer: Optimizer of the task.
        scheduler: Schedule of its learning rate, one call for each step.
        parameters: Parameters whose gradients are clipped together.
        clip_norm: Largest norm of the gradient; None does not clip.
    """

    optimizer: Optimizer
    scheduler: LRScheduler
    parameters: Sequence[nn.Parameter]
    clip_norm: float | None


class BudgetPlugin:
    """Runs after the plugins of a method, so that gradients are clipped after the plugins changed them.

    Avalanche calls hooks by name, so there is no base class.

    Args:
        order: Rows of the experience's dataset in the order of training.
        optimization: Optimizer, schedule and clipping.
        steps: Number of steps.
        progress: Called after each step with the steps made and their total.
    """

    def __init__(
        self, order: Sequence[int], optimization: Optimization, steps: int, progress: Callable[[int, int], None]
    ) -> None:
        self._order = order
        self.optimization = optimization
        self._progress = progress
        self._done = 0
        self.losses = torch.full((steps,), torch.nan, device=optimization.parameters[0].device)
        """Loss of each step, including penalties of plugins; NaN for steps that were not made."""

    def after_train_dataset_adaptation(self, strategy: Any, **_: object) -> None:
        """Make the loop run over the drawn samples instead of once over the task."""
        strategy.adapted_dataset = strategy.adapted_dataset.subset(self._order)

    def before_update(self, _strategy: Any, **_: object) -> None:
        """Clip the gradient."""
        clip_gradient(self.optimization.parameters, self.optimization.clip_norm)

    def after_update(self, strategy: Any, **_: object) -> None:
        """Advance the schedule and keep the loss, without synchronizing with the device."""
        self.optimization.scheduler.step()
        loss: Tensor = strategy.loss
        self.losses[self._done] = loss.detach().squeeze()
        self._done += 1
        self._progress(self._done, len(self.losses))


@contextlib.contextmanager
def without_own_deprecations() -> Iterator[None]:
    """Suppress Avalanche's warnings about its own deprecated methods; other warnings are shown.

    Avalanche's decorator changes Python's warning filters for the rest of the process; this also restores them.
    """
    with warnings.catch_warnings(record=True) as caught:
        yield
    for item in caught:
        if not str(item.message).startswith("Call to deprecated"):
            warnings.warn_explicit(item.message, item.category, item.filename, item.lineno)
