"""Retraining on a release: the plain way to adopt a new base model when the old training data are still there."""

from collections.abc import Iterator, Sequence
from typing import final

from clbench.contracts import Batch, Learner, Task
from clbench.core.registry import STRATEGIES
from clbench.strategies._training.gradient import GradientConfig, GradientTraining
from clbench.strategies._training.multi_task import mixed_batches
from clbench.strategies._training.optimization import report_losses


@STRATEGIES.register("retrain", config=GradientConfig)
@final
class Retrain(GradientTraining[GradientConfig]):
    """Adopts a release by training all its weights on all tasks at once, as `joint` learns them.

    Nothing of the old model is used. `budget.steps` steps for each task, in random order, each batch from one task. It
    reads the training data of all tasks that the old model has learnt; a deployed model may have lost them.
    """

    _tasks: Sequence[Task] = ()

    def adopt(self, release: Learner, tasks: Sequence[Task]) -> None:
        """Train the release on all tasks.

        Raises:
            TrainingError: When a loss is not finite.
        """
        self.learner, self._tasks = release, tasks
        losses = self._train(tasks[-1], self.context.budget.steps * len(tasks))
        report_losses(losses, tasks[-1], self.config.lr, self.context.record)

    def current_tasks(self) -> Sequence[Task]:
        """All tasks of the release."""
        return self._tasks

    def batches(self, task: Task) -> Iterator[tuple[Batch, Task]]:
        """Batches of all tasks in random order."""
        found = [(known, self.context.samples(known, "train")) for known in self._tasks]
        counts = [self.context.budget.steps] * len(found)
        yield from mixed_batches(found, counts, self.context.budget, self.generator)
