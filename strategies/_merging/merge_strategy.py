"""Strategies that fine-tune on each task alone and replace the weights by a function of what all tasks have left."""

import inspect
import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar, Generic, Literal, TypeVar, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from clbench.contracts import Context, Task
from clbench.core.seeding import generator_for
from clbench.core.sources import source_digest
from clbench.core.tensor_digest import tensor_digest
from clbench.strategies._merging.task_vectors import Vectors, dot, norm, permuted, plus, share
from clbench.strategies._parts.blocks import modules_of
from clbench.strategies._parts.slots import Slot, choices_in, named_settings, part_sources
from clbench.strategies._training.gradient import GradientConfig, GradientStrategy, TrainingConfig
from clbench.strategies._training.optimization import report_losses

TRAINING = (
    *("fine_tune", "_train", "_backward", "batches", "number_of_steps", "trainable_parameters", "task_parameters"),
    *("current_tasks", "loss", "weight", "after_backward", "after_step", "augments", "towers", "masks"),
)
"""Methods that decide the fine-tuned weights besides settings and start."""


class ControlConfig(TrainingConfig):
    """The setting that turns a merging method into its own control."""

    control: Literal["none", "permuted", "mean"] = Field(
        "none",
        description="`permuted` merges task vectors whose entries are permuted within each tensor; `mean` emits the"
        " plain mean of task vectors, rescaled to the norm of what the method would emit.",
    )


class FullConfig(GradientConfig):
    """Settings that decide the fine-tuned weights of a task."""

    towers: tuple[str, ...] = Field(
        (),
        description="Train and merge only the modules that hold these encoders' blocks (`vision`, `text`, `encoder`,"
        " `decoder`); everything when empty.",
    )


class MergeConfig(FullConfig, ControlConfig):
    """Settings of strategies that merge fully fine-tuned weights."""


M = TypeVar("M", bound=ControlConfig)


@dataclass(frozen=True)
class Merged:
    """What a method makes of the task vectors.

    Attributes:
        offset: What is added to the weights of version 0, by name of the parameter.
        entering: Squared norm of the part of the current task vector that enters it, before any scale: a scalar.
        numbers: Diagnostics of the method, scalars by name.
    """

    offset: Vectors
    entering: Tensor
    numbers: Mapping[str, Tensor]


class MergeStrategy(GradientStrategy[M], Generic[M]):
    """Fine-tunes version 0 on each task, then emits theta_0 + combine(tau), with tau = phi - theta_0.

    phi are the fine-tuned weights. A subclass implements `combine`, and keeps what it needs of earlier tasks in
    `memory`, which is the strategy's state. Heads of tasks are not merged and stay as they were trained. Buffers stay
    as in version 0.

    Training depends on nothing that a method sets. So methods with equal training settings take one fine-tuned model
    for each task from `Context.stored`, unless they override a method that trains.

    Every method records `merge/norm_task` ||tau||, `merge/norm` ||offset||, `merge/cosine` of tau with the offset
    before the task, and `merge/kept`, the share of ||tau||^2 that enters the offset.

    Edits act on the weights that are emitted. The method goes on from its own offset, so edits do not add up over
    tasks; `merge/norm` is that of its own offset.
    """

    slots: ClassVar[tuple[Slot, ...]] = ("optimizer", "edit")
    recipe: ClassVar[type[TrainingConfig]] = FullConfig
    """The settings that decide the fine-tuned weights; all settings do where a subclass overrides what trains."""

    def __init__(self, config: M, context: Context) -> None:
        super().__init__(config, context)
        self.memory: dict[str, dict[str, Tensor]] = {}
        """What the method needs of earlier tasks: tensors by name, under the names of their uses."""
        self._tuned: dict[str, Tensor] = {}
        self._offset: Vectors = {}
        self._trainers = {next(c for c in type(self).__mro__ if name in vars(c)) for name in TRAINING}
        # Now, before a file that was imported may be edited.
        training = [choice for choice in choices_in(config) if choice.slot != "edit"]
        self._codes = [sorted(map(_code, self._trainers)), part_sources(training)]
        self._modules()  # raises for a tower that is not there

    # What methods implement

    @abstractmethod
    def combine(self, tau: Vectors, offset: Vectors) -> Merged:
        """The offset from version 0 after this task.

        Args:
            tau: Task vector of the current task.
            offset: The offset before the task; zeros for the first task.
        """

    def start(self) -> Vectors:
        """Weights that fine-tuning starts from where they are not those of version 0, by name."""
        return {}

    # Training, once for all methods

    def learn(self, task: Task) -> None:
        """Fine-tune on the task, or take the fine-tuned weights of an equal training, and merge.

        Raises:
            TrainingError: When the loss is not finite at some step.
        """
        self.parts.begin_task(task)
        self.begin_task(task)
        found = self.context.stored(self._training_key(), lambda: self.fine_tune(task))
        for name, value in cast(Mapping[str, float], found["numbers"]).items():
            self.context.record(name, value)
        tuned = cast(Mapping[str, Tensor], found["tuned"])
        self._tuned = {name: tensor.to(self.learner.device) for name, tensor in tuned.items()}
        self.end_task(task)
        self.parts.end_task(task)

    def fine_tune(self, task: Task) -> Mapping[str, object]:
        """Train from the present weights; returns the trained tensors, on the CPU, and numbers to record."""
        losses = self._train(task, self.number_of_steps(task))
        numbers: dict[str, float] = {}
        report_losses(losses, task, self.config.rate, numbers.__setitem__)
        trained = {**dict(self.trainable_parameters()), **self.task_parameters()}
        return {"tuned": {name: p.detach().to("cpu", copy=True) for name, p in trained.items()}, "numbers": numbers}

    @property
    def towers(self) -> tuple[str, ...]:
        """The setting `towers` of strategies that train all weights."""
        return self.config.towers if isinstance(self.config, FullConfig) else ()

    def trainable_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """All weights that tasks share, in the chosen towers."""
        heads = {name for task in self.seen for name in self.learner.head(task)}
        modules = self._modules()
        for name, p in self.learner.trainable().items():
            if name not in heads and (not self.towers or name.partition(".")[0] in modules):
                yield name, p

    def merged(self) -> dict[str, Tensor]:
        """The parameters that are merged, by name: those that are trained and that tasks share."""
        return dict(self.trainable_parameters())

    def task_vector(self, tuned: Vectors, pretrained: Vectors) -> dict[str, Tensor]:
        """The change of the merged parameters by training.

        Args:
            tuned: What `fine_tune` returned.
            pretrained: The merged parameters of version 0.
        """
        return {name: tuned[name] - first for name, first in pretrained.items()}

    @torch.no_grad()
    def begin_task(self, task: Task) -> None:
        """Remember the offset, and go back to where fine-tuning starts; earlier heads stay."""
        heads = {n: p.detach().clone() for earlier in self.seen[:-1] for n, p in self.learner.head(earlier).items()}
        before = {name: p.detach().clone() for name, p in self.merged().items()}
        with torch.random.fork_rng(devices=[]):  # building a model draws; training must start as in `finetune`, `lora`
            self.restore_pretrained()
        self._offset = plus(before, self.merged(), -1.0)
        now = self.learner.trainable()
        for name, tensor in {**heads, **self.start()}.items():
            now[name].copy_(tensor)

    @torch.no_grad()
    def end_task(self, task: Task) -> None:
        """Replace the weights by the merged ones, and record the norms."""
        merged, weights = self.merged(), self.context.new_learner().trainable()
        pretrained = {name: weights[name].detach() for name in merged}
        tau, before = self.task_vector(self._tuned, pretrained), self._offset
        if self.config.control == "permuted":
            tau = self.permute(tau)
        found = self.combine(tau, self.memory.get("own", before))
        if self.config.control == "mean":
            found = self._mean_of_its_norm(tau, found)
        elif self.parts.edits:
            self.memory["own"] = dict(found.offset)
        for name, p in merged.items():
            p.copy_(pretrained[name] + found.offset[name])
        for name, p in self.task_parameters().items():
            p.copy_(self._tuned[name])
        self._record(tau, before, found)
        self._tuned, self._offset = {}, {}

    def permute(self, tau: Vectors) -> dict[str, Tensor]:
        """The task vector with its entries permuted within each tensor."""
        return permuted(tau, self.generator_of("permuted"))

    def generator_of(self, use: str) -> torch.Generator:
        """Randomness for one use in merging the current task, independent of training and of other uses."""
        return generator_for(self.generator.initial_seed(), use, self.seen[-1].name)

    def _mean_of_its_norm(self, tau: Vectors, found: Merged) -> Merged:
        """The control: all task vectors alike, with the norm of the method's offset."""
        total = plus(self.memory["sum"], tau) if "sum" in self.memory else dict(tau)
        self.memory |= {"sum": total, "own": dict(found.offset)}
        factor = share(norm(found.offset), norm(total))
        offset = {name: tensor * factor.to(tensor) for name, tensor in total.items()}
        return Merged(offset, dot(tau, tau), found.numbers)

    def _record(self, tau: Vectors, before: Vectors, found: Merged) -> None:
        squared = dot(tau, tau)
        numbers = {
            "norm_task": squared.sqrt(),
            "norm": norm(found.offset),
            "kept": share(found.entering.to(squared), squared),
            **found.numbers,
        }
        if len(self.seen) > 1:
            numbers["cosine"] = share(dot(tau, before), squared.sqrt() * norm(before))
        values = torch.stack([value.to(squared) for value in numbers.values()]).tolist()
        for name, value in zip(numbers, values, strict=True):
            self.context.record(f"merge/{name}", value)

    def _modules(self) -> frozenset[str]:
        """Modules of the chosen towers."""
        return modules_of(self.towers, self.learner) if self.towers else frozenset()

    def _training_key(self) -> str:
        """Everything that decides what `fine_tune` returns besides what `Context.stored` covers."""
        others = {name for earlier in self.seen[:-1] for name in self.learner.head(earlier)}
        weights = sorted(item for item in self.learner.state_dict().items() if item[0] not in others)
        start, draw = tensor_digest(weights), self.generator.initial_seed()
        known = next(c for c in type(self).__mro__ if "recipe" in vars(c)).__mro__
        own = self.recipe if self._trainers <= set(known) else type(self.config)
        settings = named_settings(self.config, set(own.model_fields) - {"edit"})
        return json.dumps(["fine-tuning", start, draw, settings, self._codes], sort_keys=True)

    # State

    def state_dict(self) -> Mapping[str, object]:
        """What the method keeps of earlier tasks."""
        return {name: dict(tensors) for name, tensors in self.memory.items()}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Restore what the method has kept."""
        device = self.learner.device
        kept = cast(Mapping[str, Mapping[str, Tensor]], state)
        self.memory = {use: {name: t.to(device) for name, t in found.items()} for use, found in kept.items()}


def plain(offset: Vectors, tau: Vectors) -> Merged:
    """A merge that the whole task vector enters, without further numbers."""
    return Merged(offset, dot(tau, tau), {})


@cache
def _code(owner: type[object]) -> str:
    """A class with the hash of its code, read once in a process."""
    return f"{owner.__qualname__} {source_digest(Path(inspect.getfile(owner)), 'clbench')[:16]}"
