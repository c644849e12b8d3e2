"""Training on several tasks in one update: sampling of tasks and weights of their losses."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Generic, Literal, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn

from clbench.contracts import Batch, Budget, Samples, Task
from clbench.strategies._parts.slots import Slot
from clbench.strategies._training.gradient import GradientStrategy, TrainingConfig
from clbench.strategies._training.optimization import batches_of

BOUND = 3.0
"""Bound of the learnt s = log sigma^2: s stays within +-BOUND."""


class BalanceConfig(TrainingConfig):
    """Settings of training on several tasks."""

    sampling: Literal["uniform", "root", "proportional"] = Field(
        "uniform",
        description="Probability of drawing a task: equal, or in proportion to its number of samples or its root.",
    )
    weights: dict[str, float] = Field(
        {}, description="Factors of losses, by name of the task or else by its kind; 1 for all others."
    )
    uncertainty: bool = Field(False, description="Also learn a factor for each task's loss (Kendall et al. 2018).")


class MultiTaskConfig(BalanceConfig):
    """Settings of strategies that learn tasks sequentially or jointly; those of `BalanceConfig` are for the latter."""

    training: Literal["sequential", "joint"] = Field(
        "sequential", description="Learn each task when it arrives, or retrain on all tasks so far, as `joint` does."
    )


B = TypeVar("B", bound=BalanceConfig)


class MultiTaskStrategy(GradientStrategy[B], Generic[B]):
    """Learns one task in each update, or jointly all tasks seen so far, from version 0.

    Joint training makes as many steps as a sequential strategy has made by then: `budget.steps` for each of the t
    tasks. Each batch has samples of one task; the order is random. With `root` or `proportional` sampling, a task with
    n training samples gets a share of these steps in proportion to n^(1/2) or n, and at least one step.

    With `uncertainty` the loss of a task is exp(-s) L / 2 + s / 2 (Kendall et al. 2018, Eq. 7, with s = log sigma^2).
    s starts at -1 and is learnt at the heads' rate. Deviation: 3 tanh(s / 3) keeps it within +-3.
    """

    slots: ClassVar[tuple[Slot, ...]] = ("optimizer", "select")

    @property
    def together(self) -> bool:
        """Whether all tasks so far are learnt jointly."""
        return isinstance(self.config, MultiTaskConfig) and self.config.training == "joint"

    @property
    def retrains_from_scratch(self) -> bool:
        """Whether tasks are learnt jointly."""
        return self.together

    def begin_task(self, task: Task) -> None:
        """Restore version 0 if tasks are learnt jointly, and create the uncertainties."""
        if self.together:
            self.restore_pretrained()
        names = [known.name for known in self.current_tasks()] if self.config.uncertainty else []
        self._uncertain = {name: nn.Parameter(torch.tensor(-1.0, device=self.learner.device)) for name in names}

    def current_tasks(self) -> Sequence[Task]:
        """All tasks so far if they are learnt jointly, else the last one."""
        return self.seen if self.together else super().current_tasks()

    def task_parameters(self) -> dict[str, nn.Parameter]:
        """Heads and uncertainties."""
        return super().task_parameters() | {f"uncertainty.{name}": p for name, p in self._uncertain.items()}

    def loss(self, batch: Batch, task: Task) -> Tensor:
        """The task's loss, weighted, a scalar."""
        loss = self.learner.loss(batch, task) * self.config.weights.get(
            task.name, self.config.weights.get(task.kind, 1.0)
        )
        if task.name not in self._uncertain:
            return loss
        s = BOUND * torch.tanh(self._uncertain[task.name] / BOUND)
        return 0.5 * torch.exp(-s) * loss + 0.5 * s

    def number_of_steps(self, task: Task) -> int:
        """The budget's steps for each current task."""
        return self.context.budget.steps * len(self.current_tasks())

    def batches(self, task: Task) -> Iterator[tuple[Batch, Task]]:
        """Batches of the task or, in random order, of all tasks so far."""
        if not self.together:
            yield from super().batches(task)
            return
        found = [(known, self.context.samples(known, "train")) for known in self.current_tasks()]
        counts = turns_of([len(samples) for _, samples in found], self.number_of_steps(task), self.config.sampling)
        yield from mixed_batches(found, counts, self.context.budget, self.generator)


def mixed_batches(
    found: Sequence[tuple[Task, Samples]], counts: Sequence[int], budget: Budget, generator: torch.Generator
) -> Iterator[tuple[Batch, Task]]:
    """Batches of several tasks in random order, each with samples of one task, after which it is named.

    Args:
        found: Tasks and their training samples.
        counts: Number of batches of each task, at least one.
        budget: Has the size of a batch.
        generator: Draws samples and order.
    """
    sources = []
    for (known, samples), count in zip(found, counts, strict=True):
        own = budget.model_copy(update={"steps": count})
        sources.append((known, samples, batches_of(len(samples), own, generator, samples.index_device)))
    rounds = [[i for i, count in enumerate(counts) if count > turn] for turn in range(max(counts))]
    turns = torch.tensor([i for turn in rounds for i in turn])
    for i in turns[torch.randperm(len(turns), generator=generator)].tolist():
        known, samples, indices = sources[i]
        yield samples.batch(next(indices)), known


def turns_of(sizes: Sequence[int], total: int, sampling: str) -> list[int]:
    """Number of steps of each task: at least one, the others in proportion, by largest remainders.

    Args:
        sizes: Number of training samples of each task.
        total: Number of steps, at least that of tasks.
        sampling: `uniform`, `root` or `proportional`.
    """
    power = {"uniform": 0.0, "root": 0.5, "proportional": 1.0}[sampling]
    wanted = torch.tensor(sizes, dtype=torch.float64) ** power
    exact = wanted / wanted.sum() * (total - len(sizes))
    counts = exact.floor().long()
    rest = total - len(sizes) - int(counts.sum())
    counts[(counts - exact).argsort(stable=True)[:rest]] += 1  # the largest remainder comes first
    return (counts + 1).tolist()
