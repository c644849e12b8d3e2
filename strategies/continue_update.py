"""Continued update: the naive update with adapters trained further by the task loss, without the old model."""

from typing import final

from torch import Tensor

from clbench.contracts import Batch, Task
from clbench.core.registry import STRATEGIES
from clbench.strategies._updates.second_stage import SecondStage, SecondStageConfig


@STRATEGIES.register("continue-update", config=SecondStageConfig)
@final
class ContinueUpdate(SecondStage[SecondStageConfig]):
    """The control of methods with a second stage: the same steps, batches and schedule, without the old model.

    Longer training raises accuracy, and higher accuracy alone lowers negative flips. Echterhoff et al. 2024 compare
    MUSCLE with an update of half as many steps. What MUSCLE gains over this strategy is due to its loss.
    """

    def second_stage_loss(self, batch: Batch, task: Task) -> Tensor:
        """The task loss, a scalar."""
        return self.task_loss(batch, task)
