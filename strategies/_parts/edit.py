"""The slot `edit`: a change of the weights between learning a task and the version after it."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Generic, Literal, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn

from clbench.contracts import Task
from clbench.strategies._parts.part import Part, PartConfig


class EditConfig(PartConfig):
    """Settings of every edit."""

    anchor: Literal["previous", "pretrained"] = Field(
        "previous",
        description="Version whose difference to the learnt weights is edited: the one before the task, or version 0, "
        "with which earlier tasks are edited again after every task.",
    )


C = TypeVar("C", bound=EditConfig)


class Edit(Part[C], Generic[C]):
    """Edits the weights that a strategy leaves after a task. Heads of tasks are left alone."""

    _before: dict[str, Tensor]

    def begin_task(self, task: Task) -> None:
        """Keep the version before the task if it is the anchor."""
        if self.config.anchor == "previous":
            self._before = {name: p.detach().clone() for name, p in self._shared().items()}

    @torch.no_grad()
    def end_task(self, task: Task) -> None:
        """Edit the weights."""
        if self.config.anchor == "pretrained":
            self._before = dict(self.strategy.context.new_learner().trainable())
        self.apply(self._shared(), self._before)
        del self._before

    @abstractmethod
    def apply(self, weights: Mapping[str, nn.Parameter], anchor: Mapping[str, Tensor]) -> None:
        """Change weights in place; called without gradient.

        Args:
            weights: The shared weights after the task, by name.
            anchor: The same weights in the anchor.
        """

    def _shared(self) -> dict[str, nn.Parameter]:
        heads = {name for known in self.strategy.seen for name in self.learner.head(known)}
        return {name: p for name, p in self.learner.trainable().items() if name not in heads}
