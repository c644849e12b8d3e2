"""The gradient training loop and its hooks; no step synchronizes with the device."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Generic, Literal, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn

from clbench.contracts import Batch, Strategy, StrategyConfig, Task
from clbench.strategies._training.optimization import batches_of, clip_gradient, new_optimizer, report_losses, without

Decay = Annotated[float, Field(ge=0, lt=1)]


class TrainingConfig(StrategyConfig):
    """Settings of every strategy that trains by gradients, including those that train heads and prompts only."""

    head_lr: float = Field(1e-3, gt=0, description="Peak learning rate of a task's own parameters: heads and prompts.")
    augment: bool = Field(True, description="Train on random views of samples, if the learner has augmentation.")
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
        """Peak learning rate of the parameters that tasks share; that of heads if nothing else is trained."""
        return self.head_lr


class GradientConfig(TrainingConfig):
    """Settings of strategies that train shared weights or adapters."""

    lr: float = Field(3e-4, gt=0, description="Peak learning rate of AdamW.")

    @property
    def rate(self) -> float:
        """Peak learning rate of weights or adapters."""
        return self.lr


G = TypeVar("G", bound=TrainingConfig)


class GradientTraining(Strategy[G], Generic[G]):
    """The training loop and its hooks, for strategies of any kind of update: AdamW, a new optimizer for each task."""

    def loss(self, batch: Batch, task: Task) -> Tensor:
        """The loss to minimize, a scalar; the learner's task loss unless overridden."""
        return self.learner.loss(batch, task)

    def weight(self, batch: Batch, task: Task) -> Tensor:
        """Number of units (samples or tokens) that `loss` averages over, a scalar; override it together with `loss`."""
        return self.learner.loss_terms(batch)

    def after_backward(self, task: Task) -> None:
        """Change gradients in place after the backward pass, before they are clipped."""

    def after_step(self, task: Task, step: int) -> None:
        """Change weights in place, without gradient, after the optimizer's step number `step` (from 1)."""

    def trainable_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The trained parameters that tasks share, by name; all trainable ones of the learner unless overridden."""
        yield from self.learner.trainable().items()

    def current_tasks(self) -> Sequence[Task]:
        """The tasks learnt in this update: the last one seen. Override it together with `batches`."""
        return self.seen[-1:]

    def task_parameters(self) -> dict[str, nn.Parameter]:
        """Own parameters of the current tasks, by name: their heads. Trained besides `trainable_parameters`."""
        return {name: p for task in self.current_tasks() for name, p in self.learner.head(task).items()}

    def batches(self, task: Task) -> Iterator[tuple[Batch, Task]]:
        """Training batches, each with the task of its samples: `budget.steps` random batches of the task."""
        samples = self.context.samples(task, "train")
        for index in batches_of(len(samples), self.context.budget, self.generator, samples.index_device):
            yield samples.batch(index), task

    def number_of_steps(self, task: Task) -> int:
        """The budget's number of steps; override it together with `batches`."""
        return self.context.budget.steps

    def footprint(self) -> dict[str, int]:
        """Number of values in `trainable_parameters`, without heads, which depend on the task."""
        return {"trainable_parameters": sum(p.numel() for _, p in self.trainable_parameters()), "adapters": 0}

    @property
    def augments(self) -> bool:
        """The setting `augment`."""
        return self.config.augment

    def _train(self, task: Task, total: int) -> Tensor:
        """Make all steps of a task; returns the losses `(steps,)` on the device."""
        heads = list(self.task_parameters().values())
        parameters = without([p for _, p in self.trainable_parameters()], heads)
        optimizer, scheduler = new_optimizer(self.learner.module, parameters, self.config, total, heads)
        parameters += heads
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
        """Compute gradients of the mean loss of a batch, in micro-batches if the budget sets them; returns the loss."""
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


class GradientStrategy(GradientTraining[G], Generic[G]):
    """Learns each task in one run of the training loop; subclasses override the hooks they need."""

    def begin_task(self, task: Task) -> None:
        """Prepare the task, before its first step: the learner is the version before the task."""

    def end_task(self, task: Task) -> None:
        """Finish the task, after its last step: leave the learner as the version after the task."""

    def learn(self, task: Task) -> None:
        """Run the loop over one task.

        Raises:
            TrainingError: When the loss is not finite at some step; losses are read once, after the last step.
        """
        self.begin_task(task)
        losses = self._train(task, self.number_of_steps(task))
        self.end_task(task)
        report_losses(losses, task, self.config.rate, self.context.record)
