"""Joint training: after each task, train on all tasks so far from the pre-trained model. The upper bound."""

from collections.abc import Iterator
from typing import final

import torch

from clbench.contracts import Batch, Task
from clbench.registry import STRATEGIES
from clbench.strategies.gradient import GradientConfig, GradientStrategy
from clbench.strategies.optimisation import batches_of


@STRATEGIES.register("joint", config=GradientConfig)
@final
class Joint(GradientStrategy[GradientConfig]):
    """Multi-task training that ignores the order of arrival (the upper bound of most papers).

    After task t it starts again from version 0 and spends what a sequential strategy has spent by then: `budget.steps`
    for each of the t tasks, shuffled, one task a batch. So no task is trained less than elsewhere and none is ever out
    of sight; the price is t(t + 1)/2 instead of t tasks' worth of training.
    """

    def begin_task(self, task: Task) -> None:
        """Forget all training."""
        self.restore_pretrained()

    def number_of_steps(self, task: Task) -> int:
        """The steps of all tasks so far."""
        return self.context.budget.steps * len(self.seen)

    def batches(self, task: Task) -> Iterator[tuple[Batch, Task]]:
        """Batches of all tasks so far, in random order."""
        budget = self.context.budget
        sources = []
        for known in self.seen:
            samples = self.context.samples(known, "train")
            sources.append((known, samples, batches_of(len(samples), budget, self.generator, samples.home)))
        turns = torch.arange(len(sources)).repeat(budget.steps)
        for turn in turns[torch.randperm(len(turns), generator=self.generator)].tolist():
            known, samples, indices = sources[turn]
            yield samples.batch(next(indices)), known
