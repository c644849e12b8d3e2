"""Training samples of the tasks learnt so far, divided into forgotten and retained ones."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clbench.contracts import Batch, Budget, Context, ForgetRequest, Samples, Task
from clbench.core.errors import ConfigError
from clbench.strategies._training.optimization import batches_of


@dataclass(frozen=True, eq=False)
class Part:
    """Some samples of one task.

    Attributes:
        task: The task.
        samples: The split that the samples are in.
        positions: Their positions in the split, `(k,)` int64.
    """

    task: Task
    samples: Samples
    positions: Tensor

    def __len__(self) -> int:
        return len(self.positions)

    def random_batches(self, budget: Budget, generator: torch.Generator) -> Iterator[Batch]:
        """`budget.steps` batches of random samples; every sample is drawn once before any is drawn twice."""
        for index in batches_of(len(self), budget, generator, self.positions.device):
            yield self.samples.batch(self.positions[index])

    def full_batches(self, size: int, generator: torch.Generator) -> Iterator[Batch]:
        """All samples once, in random order; the last batch is filled up with further random ones."""
        yield from self.random_batches(Budget(steps=math.ceil(len(self) / size), batch_size=size), generator)

    def batches(self, size: int) -> Iterator[Batch]:
        """All samples once, in their order; the last batch may be smaller."""
        for index in self.positions.split(size):
            yield self.samples.batch(index)


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Training samples by task; tasks without any are left out.

    Attributes:
        all: All samples of the tasks learnt so far, D.
        forgotten: The samples to forget, F, a part of D.
        retained: D without F.
    """

    all: tuple[Part, ...]
    forgotten: tuple[Part, ...]
    retained: tuple[Part, ...]

    @property
    def share(self) -> float:
        """|F| / |D|, in (0, 1)."""
        return sum(map(len, self.forgotten)) / sum(map(len, self.all))


def divided(context: Context, seen: Sequence[Task], request: ForgetRequest) -> TrainingData:
    """Divide the training samples of all tasks seen by a request.

    Args:
        context: Gives the samples.
        seen: The tasks learnt so far.
        request: What to forget.

    Raises:
        ConfigError: For a request that selects no sample, all samples, or samples of a task that was not learnt.
    """
    where = request.update.label
    unknown = request.forgotten.keys() - {task.name for task in seen}
    if unknown:
        raise ConfigError(f"{where}: wanted samples of tasks learnt so far, got some of task {min(unknown)!r}")
    parts = []
    for task in seen:
        samples = context.samples(task, "train")
        chosen = torch.zeros(len(samples), dtype=torch.bool)
        chosen[request.forgotten.get(task.name, torch.zeros(0, dtype=torch.int64)).cpu()] = True
        masks = (torch.ones_like(chosen), chosen, ~chosen)
        parts.append([Part(task, samples, mask.nonzero()[:, 0].to(samples.index_device)) for mask in masks])
    data = TrainingData(*(tuple(filter(len, kind)) for kind in zip(*parts, strict=True)))
    if not data.forgotten or not data.retained:
        got = "none" if not data.forgotten else "all of them"
        raise ConfigError(f"{where}: wanted some of the training samples of the tasks learnt so far, got {got}")
    return data
