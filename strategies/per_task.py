"""Per-task fine-tuning: every task is learnt alone, from the pre-trained model."""

from typing import final

from clbench.contracts import Task
from clbench.core.registry import STRATEGIES
from clbench.strategies._training.gradient import GradientConfig, GradientStrategy


@STRATEGIES.register("per-task", config=GradientConfig)
@final
class PerTask(GradientStrategy[GradientConfig]):
    """Fine-tunes version 0 on the current task alone (the per-task baseline of many papers).

    No continual learner: the diagonal of R says what each task gives when nothing else is learnt, and that is what to
    read. The last row is that of a model that has seen the last task only.
    """

    @property
    def retrains_from_scratch(self) -> bool:
        """Always."""
        return True

    def begin_task(self, task: Task) -> None:
        """Forget all training."""
        self.restore_pretrained()
