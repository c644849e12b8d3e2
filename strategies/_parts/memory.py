"""The slot `memory`: which samples of earlier tasks are kept and trained on again."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar, cast

import pyarrow as pa
import pyarrow.compute as pc
import torch
from pydantic import Field
from torch import Tensor

from clbench.contracts import Batch, Budget, ForgetRequest, Strategy, Task
from clbench.core.errors import ConfigError
from clbench.strategies._parts.part import Part, PartConfig


class MemoryConfig(PartConfig):
    """Settings of every memory."""

    size: int = Field(200, ge=1, description="Number of samples that are kept, of all tasks together.")
    share: float = Field(0.5, gt=0, lt=1, description="Share of each batch that comes from the memory.")


C = TypeVar("C", bound=MemoryConfig)


class Memory(Part[C], Generic[C]):
    """Keeps samples of the tasks learnt so far, equally many of each, and gives some of them to every later step.

    A batch has as many samples as without a memory. Its new samples are one part, those of one earlier task the other;
    each step draws that task in proportion to the samples kept. The two mean losses are weighted by their shares of the
    batch. When a task is added, every earlier one gives up the samples that its rule ranks last.

    Samples are kept by their ids, because positions change when an update forgets samples. What the training split of
    a task lacks is not drawn. Records `memory/samples`, the number of samples kept.
    """

    def __init__(self, config: C, strategy: Strategy[Any]) -> None:
        super().__init__(config, strategy)
        self.kept: dict[str, list[str]] = {}
        """Ids of the kept samples of each task, by its name, the most important first."""
        self._checked: set[str] = set()

    @abstractmethod
    def rank(self, task: Task, count: int) -> Tensor:
        """The samples of a task to keep.

        Args:
            task: The task, after it was learnt; its training samples are in `strategy.context`.
            count: Number of samples to keep at most.

        Returns:
            Positions in the training split `(<= count,)` int64 on the CPU, the most important first.
        """

    def check(self, task: Task) -> None:
        """Refuse a size of less than one sample for each task, and batches of one sample.

        Raises:
            ConfigError: In these cases.
        """
        self._checked.add(task.name)
        name, size, tasks = type(self).__name__, self.config.size, len(self._checked)
        if size < tasks:
            raise ConfigError(f"memory {name}: wanted a size of one sample for each task, got {size} for {tasks} tasks")
        if self.strategy.context.budget.batch_size == 1:
            raise ConfigError(
                f"memory {name}: wanted a budget with new and kept samples in each batch, got batch_size 1"
            )

    def end_task(self, task: Task) -> None:
        """Keep samples of a task, and fewer of the others."""
        tasks = [*(name for name in self.kept if name != task.name), task.name]
        quota, more = divmod(self.config.size, len(tasks))
        quotas = {name: quota + (number < more) for number, name in enumerate(tasks)}
        for name in self.kept:
            self.kept[name] = self.kept[name][: quotas[name]]
        ranked = self.rank(task, quotas[task.name])[: quotas[task.name]]
        self.kept[task.name] = self._ids(task, ranked)
        self.strategy.context.record("memory/samples", sum(map(len, self.kept.values())))

    def discard(self, request: ForgetRequest) -> None:
        """Drop samples that the model must forget."""
        for task in request.tasks:
            if task.name in self.kept:
                gone = set(self._ids(task, request.forgotten[task.name]))
                self.kept[task.name] = [name for name in self.kept[task.name] if name not in gone]

    def of_new(self, budget: Budget, task: Task) -> Budget:
        """The budget of new samples: smaller batches when samples of earlier tasks are there."""
        if not self._earlier(task):
            return budget
        return budget.model_copy(update={"batch_size": budget.batch_size - self._count(budget)})

    def share(self, task: Task) -> float:
        """Share of the loss that kept samples have in a step."""
        budget = self.strategy.context.budget
        return self._count(budget) / budget.batch_size if self._earlier(task) else 0.0

    def batches(self, task: Task) -> Iterator[tuple[Batch, Task]]:
        """One batch of kept samples for each step, with their task; none if nothing is kept."""
        earlier = self._earlier(task)
        if not earlier:
            return
        budget = self.strategy.context.budget
        generator = self.new_generator()
        weights = torch.tensor([len(positions) for _, positions in earlier], dtype=torch.float64)
        turns = torch.multinomial(weights, budget.steps, replacement=True, generator=generator).tolist()
        count = self._count(budget)
        drawn = []
        for number, (known, positions) in enumerate(earlier):
            samples = self.strategy.context.samples(known, "train")
            total = turns.count(number) * count
            order = [torch.randperm(len(positions), generator=generator) for _ in range(-(-total // len(positions)))]
            at = positions[torch.cat(order)[:total]] if order else positions[:0]
            drawn.append((samples, iter(at.to(samples.index_device).split(count))))
        for number in turns:
            samples, indices = drawn[number]
            yield samples.batch(next(indices)), earlier[number][0]

    def all_samples(self, task: Task) -> Iterator[Batch]:
        """The training samples of a task in their order, in batches of the budget's size."""
        samples, budget = self.strategy.context.samples(task, "train"), self.strategy.context.budget
        for index in torch.arange(len(samples)).split(budget.micro_batch or budget.batch_size):
            yield samples.batch(index)

    def state_dict(self) -> Mapping[str, object]:
        """Ids of the kept samples."""
        return dict(self.kept)

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Restore them."""
        self.kept = dict(cast(Mapping[str, list[str]], state))

    def _count(self, budget: Budget) -> int:
        """Number of kept samples in a batch: at least one, and at least one new sample."""
        return min(budget.batch_size - 1, max(1, round(self.config.share * budget.batch_size)))

    def _ids(self, task: Task, positions: Tensor) -> list[str]:
        ids = self.strategy.context.samples(task, "train").ids
        return cast(list[str], ids.take(pa.array(positions.cpu().numpy())).to_pylist())

    def _earlier(self, task: Task) -> list[tuple[Task, Tensor]]:
        """Earlier tasks with kept samples, and where these are in the training split now, `(kept,)` int64."""
        found = []
        for known in self.strategy.seen:
            if known.name != task.name and self.kept.get(known.name):
                split = self.strategy.context.samples(known, "train").ids
                at = pc.index_in(pa.array(self.kept[known.name], pa.string()), value_set=split).drop_null()
                found.append((known, torch.tensor(at.to_pylist(), dtype=torch.int64)))
        return [(known, positions) for known, positions in found if len(positions)]
