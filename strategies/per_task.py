"""Per-task fine-tuning: learn each task alone, from the pre-trained model."""

from typing import ClassVar, final

from clbench.contracts import Task
from clbench.core.registry import STRATEGIES
from clbench.strategies._parts.slots import Slot
from clbench.strategies._training.gradient import GradientConfig, GradientStrategy


@STRATEGIES.register("per-task", config=GradientConfig)
@final
class PerTask(GradientStrategy[GradientConfig]):
    """Fine-tunes version 0 on the current task alone, the per-task baseline of many papers.

    This is not continual learning. The diagonal of R has the score of each task when only that task is learnt. The last
    row belongs to a model that was trained on the last task only. Edits should have `anchor: pretrained`: the version
    before the task is another task's model.
    """

    slots: ClassVar[tuple[Slot, ...]] = ("optimizer", "select", "edit")

    @property
    def retrains_from_scratch(self) -> bool:
        """Always true."""
        return True

    def begin_task(self, task: Task) -> None:
        """Restore version 0."""
        self.restore_pretrained()
