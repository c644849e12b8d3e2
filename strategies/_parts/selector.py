"""The slot `select`: which parameters, or which of their entries, move. All others keep their bits."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, Literal, Never, TypeAlias, TypeVar, cast

import torch
from pydantic import Field
from torch import Tensor

from clbench.contracts import Task
from clbench.core.seeding import generator_for
from clbench.strategies._parts.part import Part, PartConfig, Trained

Masks: TypeAlias = Mapping[str, Tensor | None]
"""By name: a bool tensor of the parameter's shape, True where it moves; None where all of it moves. Parameters that are
absent are frozen."""


class SelectorConfig(PartConfig):
    """Settings of every selector."""


class FixedSelectorConfig(SelectorConfig):
    """Settings of every selector that chooses once for each update."""

    reselect: Literal["each", "first"] = Field(
        "each", description="Choose anew for each update, or keep the choice made for the first one."
    )


@dataclass(frozen=True)
class Moving:
    """How much of what a strategy trains moves in an update.

    Attributes:
        values: Number of values that can move.
        gradient: Number of values whose gradient is computed: those of all parameters that move in part.
    """

    values: int
    gradient: int


C = TypeVar("C", bound=SelectorConfig)
F = TypeVar("F", bound=FixedSelectorConfig)


class Selector(Part[C], Generic[C]):
    """Chooses what moves in an update. Heads and prompts are not subject to it.

    The training loop multiplies gradients by the masks before it clips them. Where weight decay, the optimizer or the
    strategy could move other entries, it puts their values back after each step.
    """

    @abstractmethod
    def chosen(self, trained: Sequence[Trained], task: Task) -> Masks:
        """The masks of an update; called before its first step.

        Args:
            trained: What the strategy trains.
            task: The task; its training samples are in `strategy.context`.
        """

    def after_backward(self, step: int, total: int, task: Task) -> None:
        """Let more entries move, in the masks of the update, or set gradients to None; called before masks are applied.

        Args:
            step: Number of the step, from 1.
            total: Number of steps.
            task: The task.
        """

    @abstractmethod
    def moving(self, trained: Sequence[Trained]) -> Moving | None:
        """How much moves, counted without data; None if the choice needs data."""


class FixedSelector(Selector[F], Generic[F]):
    """Chooses once for each update, before its first step."""

    needs_data: ClassVar[bool] = False
    """Whether the choice depends on samples."""

    _first: Masks | None = None

    def new_generator(self, *words: object) -> torch.Generator:
        """Randomness of the current update, or of the cell for a choice that is kept.

        So it does not matter which update is made first, where earlier ones are skipped.

        Args:
            *words: Name the use, if a selector has several.
        """
        if self.config.reselect == "first":
            return generator_for(self.strategy.context.seed, "first", type(self).__name__, *words)
        return super().new_generator(*words)

    @abstractmethod
    def choose(self, trained: Sequence[Trained], task: Task) -> Masks:
        """Choose before the first step of an update.

        Args:
            trained: What the strategy trains.
            task: The task; its training samples are in `strategy.context`.
        """

    def chosen(self, trained: Sequence[Trained], task: Task) -> Masks:
        """The choice for an update, made now or kept from the first update; records the number of values that move."""
        masks = self._first
        if masks is None:
            found = self.choose(trained, task)
            masks = {name: mask for name, mask in found.items() if mask is None or bool(mask.any())}
        if self.config.reselect == "first":
            self._first = masks
        self.strategy.context.record("select/values", sum(counts_of(trained, masks).values()))
        return masks

    def moving(self, trained: Sequence[Trained]) -> Moving | None:
        """How much moves, by a choice that is not kept; None if the choice needs data."""
        if self.needs_data:
            return None
        masks = self.choose(trained, Task("counted", "classification", "accuracy", _no_data, _no_data, classes=("a",)))
        counts = counts_of(trained, masks)
        gradient = sum(item.parameter.numel() for item in trained if counts[item.name])
        return Moving(sum(counts.values()), gradient)

    def state_dict(self) -> Mapping[str, object]:
        """The first choice, if it is kept."""
        if self._first is None:
            return {}
        masks = {name: mask for name, mask in self._first.items() if mask is not None}
        return {"masks": masks, "whole": [name for name in self._first if name not in masks]}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Restore the first choice."""
        if state:
            masks = cast(Mapping[str, Tensor], state["masks"])
            device = self.learner.device
            whole = dict.fromkeys(cast(list[str], state["whole"]))
            self._first = {**whole, **{name: mask.to(device) for name, mask in masks.items()}}


def counts_of(trained: Sequence[Trained], masks: Masks) -> dict[str, int]:
    """Number of values of each trained parameter that can move, by its name; 0 for frozen ones."""

    def count(item: Trained) -> int:
        mask = masks.get(item.name)
        return int(torch.count_nonzero(mask)) if mask is not None else item.parameter.numel() * int(item.name in masks)

    return {item.name: count(item) for item in trained}


def _no_data(split: object) -> Never:
    raise AssertionError(f"counting needs no data, got {split}")
