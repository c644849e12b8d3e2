"""Several tasks in one update: how often each is drawn, and how much its loss counts."""

from collections.abc import Iterator, Sequence
from typing import Generic, Literal, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn

from clbench.contracts import Batch, Task
from clbench.strategies._training.gradient import GradientStrategy, TrainingConfig
from clbench.strategies._training.optimization import batches_of

BOUND = 3.0
"""Uncertainties stay within +-BOUND."""


class BalanceConfig(TrainingConfig):
    """Settings of training on several tasks."""

    sampling: Literal["uniform", "root", "proportional"] = Field(
        "uniform",
        description="How often a task is drawn: as often as any other, or by the number of its samples or its root.",
    )
    weights: dict[str, float] = Field(
        {}, description="Factors of losses by the name of the task, or else of its kind; 1 for the others."
    )
    uncertainty: bool = Field(False, description="Learn a factor for the loss of every task besides (Kendall et al.).")


class MultiTaskConfig(BalanceConfig):
    """Settings of strategies that learn tasks one by one or all together; `sampling` and so on are for the latter."""

    training: Literal["sequential", "joint"] = Field(
        "sequential", description="Learn each task as it comes, or start again with all tasks so far, as `joint` does."
    )


B = TypeVar("B", bound=BalanceConfig)


class MultiTaskStrategy(GradientStrategy[B], Generic[B]):
    """Learns one task an update or, together, all tasks seen so far from version 0.

    Together it spends what a sequential strategy has spent by then: `budget.steps` for each of the t tasks, one task a
    batch, in random order. By `root` and `proportional` sampling a task has a share of these steps in proportion to
    n^(1/2) or n, n being its training samples, and at least one.

    With `uncertainty` the loss of a task is exp(-s) L / 2 + s / 2 (Kendall et al. 2018, Eq. 7, for s = log sigma^2), s
    learnt with the heads' rate from -1 on and kept within +-3 by 3 tanh(s / 3).
    """

    @property
    def together(self) -> bool:
        """Whether all tasks so far are learnt at once."""
        return isinstance(self.config, MultiTaskConfig) and self.config.training == "joint"

    @property
    def retrains_from_scratch(self) -> bool:
        """Where tasks are learnt together."""
        return self.together

    def begin_task(self, task: Task) -> None:
        """Forget all training, where tasks are learnt together."""
        if self.together:
            self.restore_pretrained()
        names = [known.name for known in self.current_tasks()] if self.config.uncertainty else []
        self._uncertain = {name: nn.Parameter(torch.tensor(-1.0, device=self.learner.device)) for name in names}

    def current_tasks(self) -> Sequence[Task]:
        """All tasks so far, where tasks are learnt together."""
        return self.seen if self.together else super().current_tasks()

    def task_parameters(self) -> dict[str, nn.Parameter]:
        """Heads, and the uncertainties."""
        return super().task_parameters() | {f"uncertainty.{name}": p for name, p in self._uncertain.items()}

    def loss(self, batch: Batch, task: Task) -> Tensor:
        """The task's loss, weighed."""
        loss = self.learner.loss(batch, task) * self.config.weights.get(
            task.name, self.config.weights.get(task.kind, 1.0)
        )
        if task.name not in self._uncertain:
            return loss
        s = BOUND * torch.tanh(self._uncertain[task.name] / BOUND)
        return 0.5 * torch.exp(-s) * loss + 0.5 * s

    def number_of_steps(self, task: Task) -> int:
        """The steps of all tasks that are learnt now."""
        return self.context.budget.steps * len(self.current_tasks())

    def batches(self, task: Task) -> Iterator[tuple[Batch, Task]]:
        """Batches of the task, or of all tasks so far, in random order."""
        if not self.together:
            yield from super().batches(task)
            return
        found = [(known, self.context.samples(known, "train")) for known in self.current_tasks()]
        counts = turns_of([len(samples) for _, samples in found], self.number_of_steps(task), self.config.sampling)
        sources = []
        for (known, samples), count in zip(found, counts, strict=True):
            budget = self.context.budget.model_copy(update={"steps": count})
            sources.append((known, samples, batches_of(len(samples), budget, self.generator, samples.index_device)))
        rounds = [[i for i, count in enumerate(counts) if count > turn] for turn in range(max(counts))]
        turns = torch.tensor([i for turn in rounds for i in turn])
        for i in turns[torch.randperm(len(turns), generator=self.generator)].tolist():
            known, samples, indices = sources[i]
            yield samples.batch(next(indices)), known


def turns_of(sizes: Sequence[int], total: int, sampling: str) -> list[int]:
    """How many of `total` steps each task gets: at least one, the rest in proportion, by largest remainders.

    Args:
        sizes: Samples of each task.
        total: Steps, no fewer than tasks.
        sampling: `uniform`, `root` or `proportional`.
    """
    power = {"uniform": 0.0, "root": 0.5, "proportional": 1.0}[sampling]
    wanted = torch.tensor(sizes, dtype=torch.float64) ** power
    exact = wanted / wanted.sum() * (total - len(sizes))
    counts = exact.floor().long()
    rest = total - len(sizes) - int(counts.sum())
    counts[(counts - exact).argsort(stable=True)[:rest]] += 1  # the largest remainder comes first
    return (counts + 1).tolist()
