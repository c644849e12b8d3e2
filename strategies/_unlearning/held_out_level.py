"""When to stop forgetting: forgotten samples are answered no better than held-out ones."""

from collections.abc import Sequence

import torch

from clbench.contracts import Context
from clbench.core.errors import ConfigError
from clbench.kinds import kind_of
from clbench.strategies._unlearning.training_data import Part


class HeldOutLevel:
    """Compares forgotten samples with validation samples of the same tasks and classes.

    The measure is the accuracy where all tasks classify images, else the negative mean task loss, both without
    augmentation. It is a mean over tasks, weighted by the numbers of their forgotten samples. The level is that of the
    held-out samples at construction, before anything is forgotten: a level that fell together with the model would
    never be reached.

    Args:
        context: Gives the learner and the samples.
        forgotten: The samples to forget.

    Raises:
        ConfigError: When a task has no validation sample of the forgotten classes.

    Attributes:
        samples_read: Number of samples answered so far.
    """

    def __init__(self, context: Context, forgotten: Sequence[Part]) -> None:
        self._learner = context.learner
        self._size = context.budget.micro_batch or context.budget.batch_size
        self._forgotten = forgotten
        self._classifies = all(kind_of(p.task.kind).has_class(p.task) and p.task.limits is None for p in forgotten)
        self.samples_read = 0
        self._level = self._mean([_held_out(context, part) for part in forgotten])

    def reached(self) -> bool:
        """Whether the forgotten samples are now at the level or below; the module is in evaluation mode afterwards."""
        return self._mean(self._forgotten) <= self._level

    @torch.no_grad()
    def _mean(self, parts: Sequence[Part]) -> float:
        self._learner.module.eval()
        measure = self._accuracy if self._classifies else self._negative_loss
        weights = [len(part) for part in self._forgotten]
        self.samples_read += sum(map(len, parts))
        with self._learner.autocast():
            return sum(n * measure(part) for n, part in zip(weights, parts, strict=True)) / sum(weights)

    def _accuracy(self, part: Part) -> float:
        predict = self._learner.predictor([part.task], ["task-id"])
        right = torch.zeros((), dtype=torch.int64, device=self._learner.device)
        for batch in part.batches(self._size):
            correct = predict(batch, part.task)["task-id"].correct
            assert correct is not None  # the task is classification
            right += correct.sum()
        return int(right) / len(part)

    def _negative_loss(self, part: Part) -> float:
        total = torch.zeros(2, dtype=torch.float64, device=self._learner.device)
        for batch in part.batches(self._size):
            terms = self._learner.loss_terms(batch).to(total)
            total += torch.stack([self._learner.loss(batch, part.task).double() * terms, terms])
        return -float(total[0] / total[1])


def _held_out(context: Context, part: Part) -> Part:
    """Validation samples of the task, of the classes that a part has."""
    samples = context.samples(part.task, "validation")
    positions = torch.arange(len(samples), device=samples.index_device)
    if part.task.classes and "label" in samples.tensors:
        labels = part.samples.tensors["label"][part.positions.to(part.samples.tensors["label"].device)]
        kept = torch.isin(samples.tensors["label"], labels.to(samples.tensors["label"].device))
        positions = positions[kept.to(positions.device)]
    if not len(positions):
        got = "wanted some to tell when to stop, got none"
        raise ConfigError(f"task {part.task.name!r}: validation samples of the forgotten classes: {got}")
    return Part(part.task, samples, positions)
