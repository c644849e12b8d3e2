"""A learner as the model of Avalanche's strategies: maps positions of samples to logits of all classes seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from clbench.contracts import Batch, Context, Learner, ScoresClasses, Task, joined, require
from clbench.strategies._avalanche.avalanche_data import owners_and_rows

Scope = Literal["batch", "seen"]
"""Tasks whose classes are scored: those in the batch (other columns are 0), or all tasks seen."""


@dataclass(frozen=True)
class View:
    """A batch for the learner and the numbers of its tasks, ascending."""

    batch: Batch
    owners: Sequence[int]


class Views:
    """Turns positions into batches; shared by a model and its copies.

    The last view is kept, so that a teacher that runs right after its student sees the same random crops.

    Args:
        context: Context of the strategy, which has the samples.
        tasks: The tasks seen, the current one last.
        generator: Source of randomness of augmentation.
        mixed: Whether batches may hold samples of earlier tasks. If not, steps need no synchronization with the device.
        augment: Whether training uses random views.
    """

    def __init__(
        self, context: Context, tasks: Sequence[Task], generator: torch.Generator, mixed: bool, augment: bool = True
    ) -> None:
        self._context = context
        self._tasks = tasks
        self._generator = generator
        self.mixed = mixed
        self._augment = augment
        self.last: tuple[Tensor, bool, View] | None = None

    def of(self, at: Tensor, training: bool) -> View:
        """The samples at the positions `at` `(n,)`, in that order."""
        augmented = training and self._augment
        if self.last is not None and self.last[0] is at and self.last[1] == augmented:
            return self.last[2]
        view = self._gather_mixed(at) if self.mixed else self._gather(at)
        if augmented:
            view = View(self._context.learner.augment(view.batch, self._generator), view.owners)
        self.last = (at, augmented, view)
        return view

    def _gather(self, at: Tensor) -> View:
        samples = self._context.samples(self._tasks[-1], "train")
        return View(samples.batch(owners_and_rows(at)[1]), [len(self._tasks) - 1])

    def _gather_mixed(self, at: Tensor) -> View:
        """Read the samples of each task at once, then restore the order of `at`."""
        owners, rows = owners_and_rows(at.cpu())
        present = sorted(set(owners.tolist()))
        parts = [self._context.samples(self._tasks[owner], "train").batch(rows[owners == owner]) for owner in present]
        order = owners.argsort(stable=True).argsort().to(at.device)
        return View({name: tensor[order] for name, tensor in joined(parts).items()}, present)


class AvalancheModel(nn.Module):
    """Logits of the classes of all tasks seen, `(n, classes)`, for positions `(n,)`.

    The learner's module is a submodule, so that plugins find its parameters. A deep copy, such as LwF's teacher, copies
    the weights only.

    Args:
        learner: Learner that computes the logits.
        context: Context of the strategy, which makes learners for copies.
        views: Turns positions into batches.
        tasks: Tasks whose classes are the columns, in order.
        scope: Columns to compute; others are 0. Scoring a class costs the encoding of its text, with gradient.
    """

    def __init__(self, learner: Learner, context: Context, views: Views, tasks: Sequence[Task], scope: Scope) -> None:
        super().__init__()
        self.module = learner.module
        self.tasks = tasks
        self._learner = learner
        self._scores = require(learner, ScoresClasses)
        self._context = context
        self.views = views
        self._scope = scope
        self._sizes = [len(task.classes) for task in tasks]

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self._learner.device

    def forward(self, at: Tensor) -> Tensor:
        """Logits of the samples at positions `at`, which are augmented in training mode."""
        with self._learner.autocast():
            view = self.views.of(at, self.training)
            scored = range(len(self.tasks)) if self._scope == "seen" else view.owners
            logits = self._scores.logits(view.batch, [self.tasks[owner] for owner in scored]).float()
        if len(scored) == len(self.tasks):
            return logits
        blocks = torch.split(logits, [self._sizes[owner] for owner in scored], dim=1)
        parts = dict(zip(scored, blocks, strict=True))
        return torch.cat(
            [parts.get(owner, logits.new_zeros(len(at), size)) for owner, size in enumerate(self._sizes)], dim=1
        )

    def task_loss(self, out: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy of each row over the columns of its own task: `learner.loss` for several tasks.

        Args:
            out: Logits of the model, `(n, classes)`.
            labels: Classes, numbered through all tasks, `(n,)`.
        """
        if self.views.mixed:
            return self._scores.loss_from_logits(out, labels, self.tasks)
        start = sum(self._sizes[:-1])
        return self._scores.loss_from_logits(out[:, start:], labels - start, self.tasks[-1:])

    def copy_with(self, weights: dict[str, Tensor], tasks: Sequence[Task]) -> "AvalancheModel":
        """A model with other weights and tasks that uses the same views."""
        learner = self._context.new_learner()
        for task in tasks:
            learner.add_task(task)
        learner.load_state_dict(weights)
        return AvalancheModel(learner, self._context, self.views, tasks, self._scope).train(self.training)

    def weights(self) -> dict[str, Tensor]:
        """The learner's weights, without a copy."""
        return self._learner.state_dict()

    def __deepcopy__(self, memo: dict[int, object]) -> "AvalancheModel":
        return self.copy_with(self.weights(), self.tasks)
