"""Updates in two stages: a plain adapter on the new release, then further steps that may use the old model."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Generic, Literal, TypeVar

import torch
from pydantic import Field
from torch import Tensor

from clbench.contracts import Batch, Task
from clbench.strategies._adapters.low_rank import LowRankAdapter
from clbench.strategies._updates.updates import Objective, UpdateConfig, UpdateStrategy


class SecondStageConfig(UpdateConfig):
    """Settings of strategies with a second stage."""

    further_steps: int | None = Field(
        None, ge=0, description="Steps of the second stage; those of the first stage if not set."
    )
    further_lr: float | None = Field(
        None, gt=0, description="Peak learning rate of the second stage; that of the first stage if not set."
    )
    start: Literal["new", "old"] = Field(
        "new", description="Adapter that the second stage starts from: of the first stage, or of the old model."
    )


S = TypeVar("S", bound=SecondStageConfig)


class SecondStage(UpdateStrategy[S], Generic[S]):
    """Trains every task's adapter further by `second_stage_loss` from the second release on; subclasses define it."""

    @abstractmethod
    def second_stage_loss(self, batch: Batch, task: Task) -> Tensor:
        """The loss of the second stage, a scalar."""

    def begin_second_stage(self, task: Task, adapter: LowRankAdapter) -> None:
        """Prepare the second stage of a task; the adapter is that of the first stage."""

    @property
    def further_steps(self) -> int:
        """Number of steps of the second stage."""
        given = self.config.further_steps
        return self.context.budget.steps if given is None else given

    @property
    def further_rate(self) -> float:
        """The setting `further_lr`, else `lr`."""
        given = self.config.further_lr
        return self.config.lr if given is None else given

    def second_stage(self, task: Task, adapter: LowRankAdapter, stage: Callable[[Objective, int], None]) -> None:
        """Train the adapter further.

        Args:
            task: The task.
            adapter: Its adapter after the first stage.
            stage: Trains the adapter by a loss for a number of steps.
        """
        if self.further_steps:
            self.begin_second_stage(task, adapter)
            if self.config.start == "old":
                assert self.old is not None
                with torch.no_grad():
                    for (_, p), (_, old) in zip(
                        adapter.parameters(), self.old.adapters[task.name].parameters(), strict=True
                    ):
                        p.copy_(old)
        stage(self.second_stage_loss, self.further_steps)

    def number_of_steps(self, task: Task) -> int:
        """Steps of the first stage and, from the second release on, of the second stage."""
        return self.context.budget.steps + (self.further_steps if self.version > 1 else 0)
