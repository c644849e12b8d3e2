"""Continued update: the naive update, its adapters trained on by the task loss; MUSCLE's steps, no old model."""

from typing import final

from torch import Tensor

from clbench.contracts import Batch, Task
from clbench.core.registry import STRATEGIES
from clbench.strategies._updates.second_stage import SecondStage, SecondStageConfig


@STRATEGIES.register("continue-update", config=SecondStageConfig)
@final
class ContinueUpdate(SecondStage[SecondStageConfig]):
    """The control for methods with a second stage: same steps, same batches, same schedule, no old model.

    Training longer raises accuracy, and higher accuracy alone lowers negative flips; Echterhoff et al. 2024 compare
    MUSCLE with an update that was trained half as long. What MUSCLE gains over this one is due to its loss.
    """

    def further_loss(self, batch: Batch, task: Task) -> Tensor:
        """The task loss."""
        return self.task_loss(batch, task)
