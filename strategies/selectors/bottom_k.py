"""The top blocks of each tower move; the bottom ones are frozen."""

from collections.abc import Sequence
from typing import final

from pydantic import Field

from clbench.contracts import Stacked, Task
from clbench.core.registry import SELECTORS
from clbench.strategies._parts.blocks import blocks_of, depths_of
from clbench.strategies._parts.part import Trained
from clbench.strategies._parts.selector import FixedSelector, FixedSelectorConfig, Masks
from clbench.strategies._training.top_blocks import top_blocks


class BottomKConfig(FixedSelectorConfig):
    """Settings of `BottomK`."""

    share: float = Field(
        0.3, gt=0, le=1, description="Share of each tower's blocks that move, at its top; all parameters if 1."
    )


@SELECTORS.register("bottom-k", config=BottomKConfig)
@final
class BottomK(FixedSelector[BottomKConfig]):
    """Freezes the bottom blocks and what is before them (Telly-K, Shi et al. 2023), in each tower by itself.

    It chooses weights or adapters by the block of their layer. In a model that is one stack, parameters after the last
    block (the final norm) move, as in strategy `telly`. In models with several towers all parameters outside the blocks
    are frozen, because a name does not tell whether they are before or after the blocks.
    """

    def choose(self, trained: Sequence[Trained], task: Task) -> Masks:
        """Parameters of the top blocks."""
        if self.config.share == 1:
            return {item.name: None for item in trained}
        depths = depths_of(self.learner)
        first = {tower: depth - top_blocks(self.config.share, depth) for tower, depth in depths.items()}
        after = self._after_the_blocks()
        blocks = blocks_of(trained, self.learner)
        placed = ((item.name, blocks[item.name]) for item in trained)
        return {
            name: None for name, block in placed if (name in after if block is None else block[1] >= first[block[0]])
        }

    def _after_the_blocks(self) -> frozenset[str]:
        if not isinstance(self.learner, Stacked):
            return frozenset()
        stack = self.learner.stack()
        return frozenset(name for name, block in stack.block_of.items() if block >= stack.blocks)
