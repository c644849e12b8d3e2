"""All parameters move, as without a selector."""

from collections.abc import Sequence
from typing import final

from clbench.contracts import Task
from clbench.core.registry import SELECTORS
from clbench.strategies._parts.part import Trained
from clbench.strategies._parts.selector import FixedSelector, FixedSelectorConfig, Masks


@SELECTORS.register("all", config=FixedSelectorConfig)
@final
class All(FixedSelector[FixedSelectorConfig]):
    """Chooses everything: what a search or a loop over selectors has as its plain case."""

    def choose(self, trained: Sequence[Trained], task: Task) -> Masks:
        """All of it, whole."""
        return {item.name: None for item in trained}
