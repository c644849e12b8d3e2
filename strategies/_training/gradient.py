"""Strategies with a gradient loop: one loop, a few named hooks, nothing that waits for the device in between."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Generic, Literal, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn

from clbench.contracts import Batch, Strategy, StrategyConfig, Task
from clbench.strategies._training.optimization import batches_of, clip_gradient, new_optimiser, report_losses, without

Decay = Annotated[float, Field(ge=0, lt=1)]


class TrainingConfig(StrategyConfig):
    """Settings of every strategy that trains by gradients, if it be heads and prompts only."""

    head_lr: float = Field(
        1e-3, gt=0, description="The same for what a task has for itself (heads, prompts), where the learner has such."
    )
    augment: bool = Field(True, description="Learn from random views of samples, where the learner makes any.")
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay.")
    schedule: Literal["cosine", "constant"] = Field("cosine", description="Shape of the learning rate after warm-up.")
    warmup: float = Field(
        0.1, ge=0, lt=1, description="Share of a task's steps in which the learning rate rises from 0."
    )
    clip_norm: float | None = Field(
        1.0, gt=0, description="Largest norm of the gradient; larger ones are scaled down to it. Not clipped if null."
    )
    betas: tuple[Decay, Decay] = Field(
        (0.9, 0.999), description="Decay rates of AdamW's moving averages of the gradient and of its square."
    )

    @property
    def rate(self) -> float:
        """The peak rate of what tasks share, or of their heads where nothing else is trained."""
        return self.head_lr


class GradientConfig(TrainingConfig):
    """Settings of strategies that train weights which tasks share, or something added to them."""

    lr: float = Field(3e-4, gt=0, description="Peak learning rate of AdamW.")

    @property
    def rate(self) -> float:
        """That of the weights."""
        return self.lr


G = TypeVar("G", bound=TrainingConfig)


class GradientStrategy(Strategy[G], Generic[G]):
    """Trains the learner on each task with AdamW, a new optimizer a task; subclasses override the hooks they need."""

    def begin_task(self, task: Task) -> None:
        """Before the first step: the learner is the version before the task."""

    def loss(self, batch: Batch, task: Task) -> Tensor:
        """What is minimised, a scalar; the learner's task loss unless overridden."""
        return self.learner.loss(batch, task)

    def weight(self, batch: Batch, task: Task) -> Tensor:
        """Over how many units `loss` is a mean, a scalar; the learner's unless overridden together with it."""
        return self.learner.loss_terms(batch)

    def after_backward(self, task: Task) -> None:
        """Gradients are there, not yet clipped; they may be changed in place."""

    def after_step(self, task: Task, step: int) -> None:
        """The optimizer has made its step number `step` (from 1); weights may be changed in place, without gradient."""

    def end_task(self, task: Task) -> None:
        """After the last step: leave the learner as the version after the task."""

    def trainable_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The parameters that the optimizer gets, by name; all that the learner offers unless overridden."""
        yield from self.learner.trainable().items()

    def current_tasks(self) -> Sequence[Task]:
        """The tasks whose batches come in this update: the last one seen, unless overridden together with `batches`."""
        return self.seen[-1:]

    def task_parameters(self) -> dict[str, nn.Parameter]:
        """What the tasks being learnt have for themselves, by name: heads. Trained besides `trainable_parameters`."""
        return {name: p for task in self.current_tasks() for name, p in self.learner.head(task).items()}

    def batches(self, task: Task) -> Iterator[tuple[Batch, Task]]:
        """Training batches, each with the task that its samples belong to: `budget.steps` random ones of the task."""
        samples = self.context.samples(task, "train")
        for index in batches_of(len(samples), self.context.budget, self.generator, samples.index_device):
            yield samples.batch(index), task

    def number_of_steps(self, task: Task) -> int:
        """The budget's, unless overridden together with `batches`."""
        return self.context.budget.steps

    def footprint(self) -> dict[str, int]:
        """The size of `trainable_parameters`; heads, which depend on the task, come on top."""
        return {"trainable_parameters": sum(p.numel() for _, p in self.trainable_parameters()), "adapters": 0}

    @property
    def augments(self) -> bool:
        """By its setting."""
        return self.config.augment

    def learn(self, task: Task) -> None:
        """Run the loop over one task.

        Raises:
            TrainingError: When the loss is not finite at some step; it is read once, after the last one.
        """
        self.begin_task(task)
        losses = self._train(task, self.number_of_steps(task))
        self.end_task(task)
        report_losses(losses, task, self.config.rate, self.context.record)

    def _train(self, task: Task, total: int) -> Tensor:
        """All steps of a task; returns the losses `(steps,)`, still on the device."""
        own = list(self.task_parameters().values())
        parameters = without([p for _, p in self.trainable_parameters()], own)
        optimizer, scheduler = new_optimiser(self.learner.module, parameters, self.config, total, own)
        parameters += own
        losses = torch.zeros(total, device=self.learner.device)
        self.learner.module.train()
        for step, (batch, owner) in enumerate(self.batches(task), 1):
            losses[step - 1] = self._backward(batch, owner)
            self.after_backward(owner)
            clip_gradient(parameters, self.config.clip_norm)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad(set_to_none=True)
            with torch.no_grad():
                self.after_step(owner, step)
            self.context.progress(step, total)
        self.learner.module.eval()
        return losses

    def _backward(self, batch: Batch, task: Task) -> Tensor:
        """Gradients of the mean loss of a batch, piece by piece where it is too large at once; returns the loss."""
        n = len(next(iter(batch.values())))
        size = self.context.budget.micro_batch or n
        total = torch.zeros((), device=self.learner.device)
        whole = self.weight(batch, task) if size < n else None
        for start in range(0, n, size):
            piece = {name: tensor[start : start + size] for name, tensor in batch.items()} if size < n else batch
            with self.learner.autocast():
                view = self.learner.augment(piece, self.generator) if self.config.augment else piece
                loss = self.loss(view, task)
            if whole is not None:
                loss = loss * (self.weight(piece, task) / whole)
            loss.backward()
            total += loss.detach()
        return total
