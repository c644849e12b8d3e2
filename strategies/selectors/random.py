"""Random entries, or as many as another selector chooses: the control of other selectors."""

from collections.abc import Sequence
from typing import Any, Literal, cast, final

from pydantic import Field, field_validator, model_validator

from clbench.contracts import Task
from clbench.core.registry import SELECTORS
from clbench.strategies._parts.part import Trained
from clbench.strategies._parts.random_entries import drawn, exchanged
from clbench.strategies._parts.selector import FixedSelector, FixedSelectorConfig, Masks, counts_of
from clbench.strategies._parts.slots import SelectorChoice


class RandomConfig(FixedSelectorConfig):
    """Settings of `RandomEntries`."""

    share: float = Field(0.1, gt=0, le=1, description="Share of the entries that move.")
    like: SelectorChoice = Field(
        None, description="A selector that chooses once for each update; as many entries as it chooses move."
    )
    among: Literal["tensor", "shape", "all"] = Field(
        "tensor",
        description="Draw as many entries of every tensor; or permute these numbers among layers of one shape first "
        "(whole layers are exchanged for others); or draw as many among the entries of all tensors together.",
    )

    @field_validator("like")
    @classmethod
    def _fixed(cls, like: SelectorChoice) -> SelectorChoice:
        if like is not None and not issubclass(like.part_class, FixedSelector):
            raise ValueError("a selector that chooses once for each update")
        return like

    @model_validator(mode="after")
    def _one_number(self) -> "RandomConfig":
        if {"share", "like"} <= self.model_fields_set and self.like is not None:
            raise ValueError("at most one of share and like")
        return self


@SELECTORS.register("random", config=RandomConfig)
@final
class RandomEntries(FixedSelector[RandomConfig]):
    """Moves entries drawn uniformly.

    With `like` it is the control of another selector: what differs is which entries move, not how many.
    """

    def choose(self, trained: Sequence[Trained], task: Task) -> Masks:
        """Draw the entries."""
        generator = self.new_generator()
        counts = self._counts(trained, task)
        if self.config.among == "shape":
            counts = exchanged(trained, counts, generator)
        if self.config.among == "all":
            sizes = [item.parameter.numel() for item in trained]
            total = sum(counts.values()) if self.config.like else max(1, round(self.config.share * sum(sizes)))
            found = drawn(sum(sizes), total, generator).split(sizes)
        else:
            found = tuple(drawn(item.parameter.numel(), counts[item.name], generator) for item in trained)
        shaped = ((item, mask.view(item.parameter.shape)) for item, mask in zip(trained, found, strict=True))
        return {item.name: None if mask.all() else mask.to(item.parameter.device) for item, mask in shaped}

    def _counts(self, trained: Sequence[Trained], task: Task) -> dict[str, int]:
        if self.config.like is None:
            return {item.name: max(1, round(self.config.share * item.parameter.numel())) for item in trained}
        other = cast(FixedSelector[Any], self.config.like.build(self.strategy))
        return counts_of(trained, other.choose(trained, task))
