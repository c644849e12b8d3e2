"""The gradient training loop and its hooks; no step synchronizes with the device."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import compress, islice
from typing import Annotated, ClassVar, Generic, Literal, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn

from clbench.contracts import Batch, Context, ForgetRequest, LinearLayer, Strategy, StrategyConfig, Task
from clbench.core import processes
from clbench.strategies._parts.optimizer import ADAMW_BYTES
from clbench.strategies._parts.part import Trained, described
from clbench.strategies._parts.parts import Parts
from clbench.strategies._parts.selector import Masks, Moving
from clbench.strategies._parts.slots import (
    SLOTS,
    EditChoices,
    MemoryChoice,
    OptimizerChoice,
    PenaltyChoice,
    SelectorChoice,
    Slot,
    plain_adamw,
)
from clbench.strategies._training.masking import Masking
from clbench.strategies._training.optimization import batches_of, new_optimizer, report_losses, train_only
from clbench.strategies._training.weight_layout import Replicated, Sharded

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
    optimizer: OptimizerChoice = Field(
        default_factory=plain_adamw,
        description="What turns gradients into steps.",
        json_schema_extra={"default": "adamw"},
    )
    select: SelectorChoice = Field(None, description="Which parameters or entries of them move; all if null.")
    memory: MemoryChoice = Field(None, description="Which samples of earlier tasks are trained on again.")
    penalty: PenaltyChoice = Field(None, description="A term of the loss that keeps what earlier tasks need.")
    edit: EditChoices = Field((), description="Changes of the weights after a task, in this order.")

    @property
    def rate(self) -> float:
        """Peak learning rate of the parameters that tasks share; that of heads if nothing else is trained."""
        return self.head_lr


class GradientConfig(TrainingConfig):
    """Settings of strategies that train shared weights or adapters."""

    lr: float = Field(3e-4, gt=0, description="Peak learning rate.")

    @property
    def rate(self) -> float:
        """Peak learning rate of weights or adapters."""
        return self.lr


G = TypeVar("G", bound=TrainingConfig)


class GradientTraining(Strategy[G], Generic[G]):
    """The training loop, its hooks and its parts, for strategies of any kind of update; a new optimizer each time.

    Attributes:
        slots: The slots whose parts take effect; a suite refuses parts for the others.
        trains_weights: Whether the parameters that are trained are weights of the learner, not of adapters.
        takes_shards: Whether its hooks work where each process holds shards of parameters and gradients; a suite with
            `shard: true` refuses the others.
    """

    slots: ClassVar[tuple[Slot, ...]] = ("optimizer", "select")
    trains_weights: ClassVar[bool] = True
    takes_shards: ClassVar[bool] = False

    _linear_layers: Sequence[LinearLayer] | None = None
    """The learner's linear layers, listed before a library of adapters wraps them."""

    def __init__(self, config: G, context: Context) -> None:
        super().__init__(config, context)
        self.parts = Parts(self)
        self._layout = Replicated(self.learner)

    def check(self, task: Task) -> None:
        """Refuse a task that a part does not fit.

        Raises:
            ConfigError: If there is one.
        """
        self.parts.check(task)

    def part_state(self) -> Mapping[str, object]:
        """State of the parts."""
        return self.parts.state_dict()

    def load_part_state(self, state: Mapping[str, object]) -> None:
        """Restore the state of the parts."""
        self.parts.load_state_dict(state)

    def discard(self, request: ForgetRequest) -> None:
        """Drop kept samples that the model must forget."""
        self.parts.discard(request)

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
        budget = self.parts.of_new(self.context.budget, task)
        for index in batches_of(len(samples), budget, self.generator, samples.index_device):
            yield samples.batch(index), task

    def number_of_steps(self, task: Task) -> int:
        """The budget's number of steps; override it together with `batches`."""
        return self.context.budget.steps

    def footprint(self) -> dict[str, int]:
        """Number of values that move, without heads, which depend on the task.

        With a selector, `gradient_elements` is the number of values whose gradient is computed. If its choice needs
        data, both count all of `trainable_parameters`.
        """
        trained = self._described(self.trainable_parameters())
        total = sum(item.parameter.numel() for item in trained)
        if self.parts.select is None:
            return {"trainable_parameters": total, "adapters": 0}
        moving = self.parts.select.moving(trained) or Moving(total, total)
        return {"trainable_parameters": moving.values, "adapters": 0, "gradient_elements": moving.gradient}

    def optimizer_bytes(self) -> float:
        """Bytes of the state of the optimizers, for float32 parameters and without heads."""
        part = self.parts.optimizer
        trained = self._described(self.trainable_parameters())
        return sum(item.parameter.numel() * (part.state_bytes if part.takes(item) else ADAMW_BYTES) for item in trained)

    def masks(self, trained: Sequence[Trained], task: Task) -> Masks | None:
        """What of the trained parameters moves in an update, None if all does; what the selector chooses."""
        return self.parts.masks(trained, task)

    @property
    def augments(self) -> bool:
        """The setting `augment`."""
        return self.config.augment

    def _train(self, task: Task, total: int) -> Tensor:
        """Make all steps of a task; returns the losses `(steps,)` on the device."""
        heads = list(self._heads().values())
        left_out = {id(p) for p in heads}
        shared = [(name, p) for name, p in self.trainable_parameters() if id(p) not in left_out]
        trained = self._described(shared)
        self._record_share(trained, heads)
        changes = type(self).after_step is not GradientTraining.after_step
        moves_all = changes or self.config.weight_decay > 0 or not self.parts.optimizer.still_without_gradient
        masking = Masking(trained, self.masks(trained, task), restores=moves_all)
        train_only(self.learner.module, [*(item.parameter for item in masking.trained), *heads])
        whole = self.learner
        layout = self._layout = Sharded(whole, heads) if self.context.shard else Replicated(whole)
        self.learner = layout.learner
        trained = [replace(item, parameter=layout.held(item.parameter)) for item in masking.trained]
        parameters = [item.parameter for item in trained] + heads
        optimizer, scheduler = new_optimizer(trained, heads, self.optimizer_config(), self.parts.optimizer, total)
        kept = self.parts.kept_batches(task)
        share = self.parts.kept_share(task)
        losses = torch.zeros(total, device=self.learner.device)
        self.learner.module.train()
        self.learner.set_checkpointing(self.context.budget.checkpointing)
        for step, (batch, owner) in enumerate(self.batches(task), 1):
            losses[step - 1] = self._backward(batch, owner, 1 - share)
            for older, known in islice(kept, 1):
                losses[step - 1] += self._backward(older, known, share, new=False)
            if processes.count() > 1:
                self._add_up(layout.to_add_up(parameters), losses[step - 1])
            self.after_backward(owner)
            self.parts.after_backward(step, total, owner)
            masking.mask_gradients()
            layout.clip(parameters, self.config.clip_norm)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad(set_to_none=True)
            with torch.no_grad():
                masking.restore()
                if changes:  # the hook reads weights and changes them
                    self.after_step(owner, step)
                    masking.restore()
                self.parts.after_step()
            self.context.progress(step, total)
        self.learner.set_checkpointing(False)
        self.learner.module.eval()
        self.learner = whole
        layout.end()
        return losses

    def optimizer_config(self) -> G:
        """Settings of the optimizer in the training at hand: `config`, where no stage has a rate of its own."""
        return self.config

    def _record_share(self, trained: Sequence[Trained], heads: Sequence[nn.Parameter]) -> None:
        """Record `memory/trained_share`, in %: which share of the values of model and adapters can move.

        Not recorded where a selector's choice is only known from data.
        """
        total = sum(item.parameter.numel() for item in trained)
        moving = self.parts.select.moving(trained) if self.parts.select else Moving(total, total)
        if moving is not None:
            known = (*self.learner.module.parameters(), *(item.parameter for item in trained), *heads)
            sizes = {id(p): p.numel() for p in known}
            moved = moving.values + sum(p.numel() for p in heads)
            self.context.record("memory/trained_share", 100 * moved / sum(sizes.values()))

    def _heads(self) -> dict[str, nn.Parameter]:
        """Own parameters of the current tasks, and heads of all tasks seen: kept samples train theirs, too."""
        earlier = {name: p for task in self.seen for name, p in self.learner.head(task).items()}
        return {**earlier, **self.task_parameters()}

    def _described(self, parameters: Iterable[tuple[str, nn.Parameter]]) -> list[Trained]:
        return described(self.learner, parameters, self._linear_layers, adapters=not self.trains_weights)

    def _backward(self, batch: Batch, task: Task, factor: float = 1.0, new: bool = True) -> Tensor:
        """Compute gradients of the mean loss of a batch, in micro-batches if the budget sets them; returns the loss.

        Args:
            batch: The batch.
            task: The task of its samples.
            factor: Factor of the loss.
            new: Whether the samples are those of the update, to which a penalty is added.
        """
        n = len(next(iter(batch.values())))
        total = torch.zeros((), device=self.learner.device)
        parts = _parts_of(n, self.context.budget.micro_batch)
        whole = self.weight(batch, task) if len(parts) > 1 else None
        count, rank = processes.count(), processes.rank()
        for number, part in enumerate(parts):
            piece = batch if whole is None else {name: tensor[part] for name, tensor in batch.items()}
            with self.learner.autocast():
                view = self.learner.augment(piece, self.generator) if self.config.augment else piece
                if number % count != rank:
                    continue  # another process computes it; the view is drawn, so that random numbers stay the same
                loss = self._forward(view, task)
                if factor != 1:
                    loss = loss * factor
                if new:
                    loss = self.parts.penalized(loss, view, task)
            if whole is not None:
                loss = loss * (self.weight(piece, task) / whole)
            loss.backward()
            total += loss.detach()
        if self._layout.sharded and 0 < len(parts) % count <= rank:  # passes over shards need all processes
            with self.learner.autocast():
                loss = 0 * self._forward(piece, task)
            loss.backward()
        return total

    def _forward(self, view: Batch, task: Task) -> Tensor:
        return self._layout.forward(lambda: self.loss(view, task))

    def _add_up(self, parameters: Sequence[nn.Parameter], loss: Tensor) -> None:
        """Replace gradients and a loss, to which each process has computed its part, by their sums."""
        wanted = processes.any_of([p.grad is not None for p in parameters])
        gradients = []
        for p in compress(parameters, wanted):
            if p.grad is None:  # a batch with fewer samples than there are processes
                p.grad = torch.zeros_like(p)
            gradients.append(p.grad)
        processes.add_up([*gradients, loss])


def _parts_of(n: int, micro_batch: int | None) -> list[slice]:
    """The samples of each forward pass of a batch: as many passes for each process, if there are enough samples."""
    count = processes.count()
    size = max(1, min(micro_batch or n, -(-n // count)))
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


class GradientStrategy(GradientTraining[G], Generic[G]):
    """Learns each task in one run of the training loop; subclasses override the hooks they need."""

    slots: ClassVar[tuple[Slot, ...]] = SLOTS

    def begin_task(self, task: Task) -> None:
        """Prepare the task, before its first step: the learner is the version before the task."""

    def end_task(self, task: Task) -> None:
        """Finish the task, after its last step: leave the learner as the version after the task."""

    def learn(self, task: Task) -> None:
        """Run the loop over one task.

        Raises:
            TrainingError: When the loss is not finite at some step; losses are read once, after the last step.
        """
        self.parts.begin_task(task)
        self.begin_task(task)
        losses = self._train(task, self.number_of_steps(task))
        report_losses(losses, task, self.config.rate, self.context.record)
        self.end_task(task)
        self.parts.end_task(task)
