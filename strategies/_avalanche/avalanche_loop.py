"""The plugin that makes Avalanche's training loop keep clbench's budget, schedule and clipping."""

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from clbench.strategies._training.optimization import clip_gradient


class BudgetPlugin:
    """Comes after the plugins of a method, so that the gradient is clipped when they have done with it.

    Avalanche calls the hooks by name; a base class is not needed.

    Args:
        order: Rows of the experience's dataset in the order in which they are trained on.
        parameters: Whose gradient is clipped together.
        clip_norm: To which norm; None leaves it alone.
        optimizer: New for each task.
        scheduler: Sets its learning rate, one step after another.
        steps: How many there will be.
        progress: Told of each.
    """

    def __init__(
        self,
        order: Sequence[int],
        parameters: Sequence[nn.Parameter],
        clip_norm: float | None,
        optimizer: Optimizer,
        scheduler: LRScheduler,
        steps: int,
        progress: Callable[[int, int], None],
    ) -> None:
        self._order = order
        self._parameters = parameters
        self._clip_norm = clip_norm
        self.optimizer = optimizer
        self._scheduler = scheduler
        self._progress = progress
        self._done = 0
        self.losses = torch.full((steps,), torch.nan, device=parameters[0].device)
        """What was minimised at each step, penalties of plugins included; NaN where there was no step."""

    def after_train_dataset_adaptation(self, strategy: Any, **_: object) -> None:
        """Let the loop go through the drawn samples instead of once through the task."""
        strategy.adapted_dataset = strategy.adapted_dataset.subset(self._order)

    def before_update(self, _strategy: Any, **_: object) -> None:
        """Clip the gradient."""
        clip_gradient(self._parameters, self._clip_norm)

    def after_update(self, strategy: Any, **_: object) -> None:
        """Count the step; nothing here waits for the device."""
        self._scheduler.step()
        loss: Tensor = strategy.loss
        self.losses[self._done] = loss.detach().squeeze()
        self._done += 1
        self._progress(self._done, len(self.losses))


@contextlib.contextmanager
def without_own_deprecations() -> Iterator[None]:
    """Drop what Avalanche says of its own use of its own deprecated methods, and let other warnings through.

    Its decorator changes Python's filters for the rest of the process, to show each such warning; this undoes that too.
    """
    with warnings.catch_warnings(record=True) as caught:
        yield
    for item in caught:
        if not str(item.message).startswith("Call to deprecated"):
            warnings.warn_explicit(item.message, item.category, item.filename, item.lineno)
