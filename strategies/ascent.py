"""Gradient ascent: raise the loss of the forgotten samples until they are answered no better than held-out ones."""

from collections.abc import Iterator, Sequence
from typing import Literal, final

from pydantic import Field
from torch import Tensor

from clbench.contracts import Batch, ForgetRequest, Task
from clbench.core.registry import STRATEGIES
from clbench.strategies._training.gradient import GradientConfig, GradientTraining
from clbench.strategies._training.optimization import report_losses
from clbench.strategies._unlearning.held_out_level import HeldOutLevel
from clbench.strategies._unlearning.training_data import TrainingData, divided


class AscentConfig(GradientConfig):
    """Settings of `Ascent`; all numbers are ours."""

    lr: float = Field(1e-5, gt=0, description="Learning rate of AdamW.")
    head_lr: float = Field(1e-5, gt=0, description="Learning rate of heads.")
    augment: bool = Field(False, description="Take steps on random views of samples, if the learner has augmentation.")
    schedule: Literal["cosine", "constant"] = Field("constant", description="Shape of the learning rate.")
    warmup: float = Field(0.0, ge=0, lt=1, description="Share of `max_steps` in which the learning rate rises from 0.")
    max_steps: int = Field(100, ge=1, description="Largest number of steps.")
    check_every: int = Field(
        5, ge=1, description="Period, in steps, of comparing the forgotten samples with held-out ones."
    )


@STRATEGIES.register("ascent", config=AscentConfig)
@final
class Ascent(GradientTraining[AscentConfig]):
    """AdamW on minus the task loss of the forgotten samples alone.

    It stops as soon as these are answered no better than held-out samples of the same classes were before, or after
    `max_steps`. Nothing protects the retained samples: this is the row that shows why flips of these matter.

    Records `unlearn/steps`, `samples_read` (samples of steps and comparisons), and the task loss of the forgotten
    samples as `train/loss_first` and `train/loss_last`.
    """

    def forget(self, request: ForgetRequest) -> None:
        """Take steps until the level of the held-out samples.

        Raises:
            ConfigError: For a request that selects no or all training samples, or samples of a task not learnt; when a
                task has no validation samples of the forgotten classes.
            TrainingError: When the loss is not finite at some step.
        """
        self._data: TrainingData = divided(self.context, self.seen, request)
        self._level = HeldOutLevel(self.context, self._data.forgotten)
        self._steps = 0
        last = self.seen[-1]
        losses = self._train(last, self.config.max_steps)[: self._steps]
        if self._steps:
            report_losses(-losses, last, self.config.rate, self.context.record)
        self.context.record("unlearn/steps", self._steps)
        trained = self._steps * self.context.budget.batch_size
        self.context.record("samples_read", trained + self._level.samples_read)

    def loss(self, batch: Batch, task: Task) -> Tensor:
        """Minus the task loss."""
        return -super().loss(batch, task)

    def current_tasks(self) -> Sequence[Task]:
        """The tasks that have samples to forget."""
        return [part.task for part in self._data.forgotten]

    def batches(self, task: Task) -> Iterator[tuple[Batch, Task]]:
        """Batches of forgotten samples, each of one task, in turn; they end when the level is reached."""
        budget = self.context.budget.model_copy(update={"steps": self.config.max_steps})
        sources = [(part.random_batches(budget, self.generator), part.task) for part in self._data.forgotten]
        for step in range(self.config.max_steps):
            if step % self.config.check_every == 0 and self._level.reached():
                return
            self.learner.module.train()
            self._steps += 1
            source, owner = sources[step % len(sources)]
            yield next(source), owner
