"""Fine-tuning on the retained samples: the baseline that forgets only by training on."""

from collections.abc import Iterator, Sequence
from typing import final

import torch
from pydantic import Field

from clbench.contracts import Batch, ForgetRequest, Task
from clbench.core.registry import STRATEGIES
from clbench.strategies._training.gradient import GradientConfig, GradientTraining
from clbench.strategies._training.optimization import report_losses
from clbench.strategies._unlearning.training_data import TrainingData, divided


class FinetuneRetainedConfig(GradientConfig):
    """Settings of `FinetuneRetained`."""

    share_of_budget: float = Field(
        0.1, gt=0, le=1, description="Steps for each task as a share of the budget's; at least one step."
    )


@STRATEGIES.register("finetune-retained", config=FinetuneRetainedConfig)
@final
class FinetuneRetained(GradientTraining[FinetuneRetainedConfig]):
    """`finetune` on all tasks learnt so far, without the forgotten samples, from the present version.

    Every task with retained samples gets `share_of_budget` of the budget's steps, in random order, each batch from one
    task. So t tasks are trained for t times that, as they are under `joint` for t budgets.

    Records `unlearn/steps` and `samples_read`.
    """

    def forget(self, request: ForgetRequest) -> None:
        """Train on the retained samples.

        Raises:
            ConfigError: For a request that selects no or all training samples, or samples of a task not learnt.
            TrainingError: When the loss is not finite at some step.
        """
        self._data: TrainingData = divided(self.context, self.seen, request)
        self._steps_each = max(1, round(self.config.share_of_budget * self.context.budget.steps))
        last, steps = self.seen[-1], self._steps_each * len(self._data.retained)
        losses = self._train(last, steps)
        report_losses(losses, last, self.config.rate, self.context.record)
        self.context.record("unlearn/steps", steps)
        self.context.record("samples_read", steps * self.context.budget.batch_size)

    def current_tasks(self) -> Sequence[Task]:
        """The tasks that have retained samples."""
        return [part.task for part in self._data.retained]

    def batches(self, task: Task) -> Iterator[tuple[Batch, Task]]:
        """Batches of retained samples of all tasks, in random order."""
        budget = self.context.budget.model_copy(update={"steps": self._steps_each})
        sources = [(part.random_batches(budget, self.generator), part.task) for part in self._data.retained]
        turns = torch.arange(len(sources)).repeat(self._steps_each)
        for turn in turns[torch.randperm(len(turns), generator=self.generator)].tolist():
            source, owner = sources[turn]
            yield next(source), owner
