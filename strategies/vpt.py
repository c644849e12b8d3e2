"""Visual prompt tuning: train prompt tokens in a frozen transformer, and a head for each task."""

from collections.abc import Iterator
from typing import ClassVar, final

from pydantic import Field
from torch import nn

from clbench.contracts import PromptPlan, Sharing
from clbench.core.registry import STRATEGIES
from clbench.strategies._parts.slots import Slot
from clbench.strategies._training.prompted import PromptConfig, PromptedStrategy


class VptConfig(PromptConfig):
    """Settings of `Vpt`; optimizer and schedule are ours, not the authors'."""

    enter: int = Field(0, ge=0, description="Block, from 0, at whose input prompts are inserted.")
    sharing: Sharing = Field("task", description="Which tasks share prompts: all, those of a kind, none, or a sum.")


@STRATEGIES.register("vpt", config=VptConfig)
@final
class Vpt(PromptedStrategy[VptConfig]):
    """Trains prompts and heads only (VPT, Jia et al. 2022): shallow prompts, or deep ones by the setting `deep`.

    Prompts stand between class token and registers and the patches, without position embeddings. Shallow prompts are
    inserted at the first block and pass through the others as tokens; deep prompts are replaced in each block by that
    block's own. Their first values are uniform within +-sqrt(6 / (3 patch^2 + width)), as released. Each task has its
    own prompts, as in the paper, so nothing is forgotten and nothing is transferred. With other values of `sharing`,
    tasks train a common bank in turn.
    """

    slots: ClassVar[tuple[Slot, ...]] = ()

    def plan(self) -> PromptPlan:
        """The plan of the settings."""
        c = self.config
        return PromptPlan(c.prompts, c.enter, c.deep, c.sharing, frozenset(), "uniform")

    def trainable_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """No parameters besides prompts and heads."""
        yield from ()
