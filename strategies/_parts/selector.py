"""The slot `select`: which parameters, or which of their entries, move. All others keep their bits."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Generic, Literal, TypeAlias, TypeVar, cast

import torch
from pydantic import Field
from torch import Tensor

from clbench.contracts import Task
from clbench.core.errors import ConfigError
from clbench.strategies._parts.part import Part, PartConfig, Trained

Masks: TypeAlias = Mapping[str, Tensor | None]
"""By name: a bool tensor of the parameter's shape, True where it moves; None where all of it moves. Parameters that are
absent are frozen."""


class SelectorConfig(PartConfig):
    """Settings of every selector."""

    reselect: Literal["each", "first"] = Field(
        "each", description="Choose anew for each update, or keep the choice made for the first one."
    )


C = TypeVar("C", bound=SelectorConfig)


class Selector(Part[C], Generic[C]):
    """Chooses what moves in an update. Heads and prompts are not subject to it.

    The training loop multiplies gradients by the masks before it clips them, and restores all other entries after each
    step, so that neither weight decay nor momentum moves them.
    """

    _first: dict[str, Tensor | None] | None = None

    @abstractmethod
    def choose(self, trained: Sequence[Trained], task: Task) -> Masks:
        """Choose before the first step of an update.

        Args:
            trained: What the strategy trains.
            task: The task; its training samples are in `strategy.context`.
        """

    def after_backward(self, step: int, total: int, task: Task) -> None:
        """Change the masks that `choose` returned, in place, or set gradients to None; called before masks are applied.

        Args:
            step: Number of the step, from 1.
            total: Number of steps.
            task: The task.
        """

    def chosen(self, trained: Sequence[Trained], task: Task) -> Masks:
        """The choice for an update, made now or kept from the first update.

        Raises:
            ConfigError: When nothing is left to train.
        """
        if self._first is not None:
            return self._first
        masks = {name: mask for name, mask in self.choose(trained, task).items() if mask is None or bool(mask.any())}
        if not masks:
            raise ConfigError(f"selector {type(self).__name__}: chooses nothing, so nothing is left to train")
        if self.config.reselect == "first":
            self._first = masks
        return masks

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


def moving_values(trained: Sequence[Trained], masks: Masks) -> int:
    """Number of values that can move."""
    sizes = (
        item.parameter.numel() if (mask := masks[item.name]) is None else int(torch.count_nonzero(mask))
        for item in trained
        if item.name in masks
    )
    return sum(sizes)
