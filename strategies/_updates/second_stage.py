"""Updates in two stages: a plain adapter on the new release, then more steps by an objective that may ask the old."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

from pydantic import Field
from torch import Tensor

from clbench.contracts import Batch, Task
from clbench.strategies._adapters.low_rank import LowRankAdapter
from clbench.strategies._updates.updates import Objective, UpdateConfig, UpdateStrategy


class SecondStageConfig(UpdateConfig):
    """Settings of strategies with a second stage."""

    further_steps: int | None = Field(
        None, ge=0, description="Steps of the second stage; as many as the first has if not set."
    )


S = TypeVar("S", bound=SecondStageConfig)


class SecondStage(UpdateStrategy[S], Generic[S]):
    """Trains every task's adapter on, by `further_loss`, where there is an old model; subclasses differ in it alone."""

    @abstractmethod
    def further_loss(self, batch: Batch, task: Task) -> Tensor:
        """What the second stage minimises, a scalar."""

    def begin_further(self, task: Task, adapter: LowRankAdapter) -> None:
        """Before the second stage of a task; the adapter is as the first stage has left it."""

    @property
    def further_steps(self) -> int:
        """Of the second stage."""
        given = self.config.further_steps
        return self.context.budget.steps if given is None else given

    def second_stage(self, task: Task, adapter: LowRankAdapter, stage: Callable[[Objective, int], None]) -> None:
        """Train on."""
        if self.further_steps:
            self.begin_further(task, adapter)
        stage(self.further_loss, self.further_steps)

    def number_of_steps(self, task: Task) -> int:
        """Those of both stages, from the second release on."""
        return self.context.budget.steps + (self.further_steps if self.version > 1 else 0)
