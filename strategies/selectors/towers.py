"""The parameters of some towers move: of CLIP the image encoder alone, for one."""

from collections.abc import Sequence
from typing import final

from pydantic import Field

from clbench.contracts import Task
from clbench.core.registry import SELECTORS
from clbench.strategies._parts.blocks import modules_of
from clbench.strategies._parts.part import Trained
from clbench.strategies._parts.selector import FixedSelector, FixedSelectorConfig, Masks


class TowersConfig(FixedSelectorConfig):
    """Settings of `Towers`."""

    towers: tuple[str, ...] = Field(
        (), description="Encoders that move (`vision`, `text`, `encoder`, `decoder`); everything when empty."
    )


@SELECTORS.register("towers", config=TowersConfig)
@final
class Towers(FixedSelector[TowersConfig]):
    """Freezes all parameters but those in the modules that hold the blocks of some towers.

    Task arithmetic (Ilharco et al. 2023) fine-tunes CLIP's image encoder so, with frozen text features. For CLIP's
    texts, embeddings and the final norm lie outside of these modules and stay frozen. Merging strategies have the same
    as a setting.
    """

    def check(self, task: Task) -> None:
        """Refuse a learner that has none of the towers.

        Raises:
            ConfigError: For such a learner.
        """
        if self.config.towers:
            modules_of(self.config.towers, self.learner)

    def choose(self, trained: Sequence[Trained], task: Task) -> Masks:
        """Parameters of the towers, whole."""
        towers = self.config.towers
        modules = modules_of(towers, self.learner) if towers else frozenset()
        return {item.name: None for item in trained if not towers or item.name.partition(".")[0] in modules}
