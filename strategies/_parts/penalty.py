"""The slot `penalty`: a term of the loss that keeps what earlier tasks need."""

from abc import abstractmethod
from typing import Generic, TypeVar

from pydantic import Field
from torch import Tensor, nn

from clbench.contracts import Batch, Task
from clbench.strategies._parts.part import Part, PartConfig


class PenaltyConfig(PartConfig):
    """Settings of every penalty."""

    strength: float = Field(1.0, ge=0, description="Factor of the term.")


C = TypeVar("C", bound=PenaltyConfig)


class Penalty(Part[C], Generic[C]):
    """Adds a term to the loss of new samples in every step."""

    def begin_task(self, task: Task) -> None:
        """Prepare a task; the learner is the version before it."""

    @abstractmethod
    def term(self, batch: Batch, task: Task) -> Tensor | None:
        """The term, a scalar with gradient, without the factor `strength`; None where there is nothing to keep yet.

        Args:
            batch: The new samples of the step, as the loss sees them.
            task: Their task.
        """

    def after_backward(self) -> None:
        """Read gradients, or add to them, before they are masked and clipped."""

    def after_step(self) -> None:
        """Read weights after a step; called without gradient."""

    def end_task(self, task: Task) -> None:
        """Measure what is to be kept of a task; the learner is the version after it."""

    def shared_weights(self) -> dict[str, nn.Parameter]:
        """The learner's weights without heads of tasks, by name."""
        heads = {name for known in self.strategy.seen for name in self.learner.head(known)}
        return {name: p for name, p in self.learner.trainable().items() if name not in heads}
