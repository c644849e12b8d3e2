"""Visual prompt tuning: trainable tokens in a frozen transformer, and a head a task."""

from collections.abc import Iterator
from typing import final

from pydantic import Field
from torch import nn

from clbench.contracts import PromptPlan, Sharing
from clbench.core.registry import STRATEGIES
from clbench.strategies._training.prompted import PromptConfig, PromptedStrategy


class VptConfig(PromptConfig):
    """Settings of `Vpt`."""

    enter: int = Field(0, ge=0, description="The block, from 0, at whose input prompts appear.")
    sharing: Sharing = Field("task", description="Who shares prompts: all tasks, those of a kind, nobody, or a sum.")


@STRATEGIES.register("vpt", config=VptConfig)
@final
class Vpt(PromptedStrategy[VptConfig]):
    """Learns prompts and heads, nothing else (VPT, Jia et al. 2022): shallow, or deep by the setting `deep`.

    Prompts come after class token and registers and before the patches, and have no position. Shallow ones enter at
    the first block and go through the others as tokens; deep ones are replaced in every block by those of that block.
    They start even within +-sqrt(6 / (3 patch^2 + width)), as released. A task has prompts of its own, as in the paper,
    so nothing is ever forgotten and nothing is carried over; `sharing` has one bank learnt by all tasks in turn.
    """

    def plan(self) -> PromptPlan:
        """From the settings."""
        c = self.config
        return PromptPlan(c.prompts, c.enter, c.deep, c.sharing, frozenset(), "uniform")

    def trainable_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """None besides prompts and heads."""
        yield from ()
