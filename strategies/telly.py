"""Freeze the bottom blocks and fine-tune the others."""

from collections.abc import Iterator
from typing import final

from pydantic import Field
from torch import nn

from clbench.contracts import Context, Stacked, Task, require
from clbench.core.errors import ConfigError
from clbench.core.registry import STRATEGIES
from clbench.strategies._training.gradient import GradientConfig
from clbench.strategies._training.multi_task import MultiTaskConfig, MultiTaskStrategy
from clbench.strategies._training.top_blocks import top_blocks


class TellyConfig(MultiTaskConfig, GradientConfig):
    """Settings of `Telly`; `share` is TAP-SLF's, optimizer and schedule are ours."""

    share: float = Field(0.3, ge=0, le=1, description="Share of blocks that are trained, at the top; see `top_blocks`.")
    frozen: int | None = Field(
        None, ge=0, description="Number of frozen bottom blocks (K), which overrides the share; 0 trains all weights."
    )


@STRATEGIES.register("telly", config=TellyConfig)
@final
class Telly(MultiTaskStrategy[TellyConfig]):
    """Fine-tunes all weights except the bottom K blocks and the layers before them (Telly-K, Shi et al. 2023).

    The paper freezes the bottom layers of code models, which hold lexical and syntactic properties that fine-tuning
    hardly changes. It finds that five of six may be frozen at little cost. With K = 0 it is `finetune`.
    """

    requires = (Stacked,)

    def __init__(self, config: TellyConfig, context: Context) -> None:
        super().__init__(config, context)
        self._stack = require(self.learner, Stacked).stack()
        blocks = self._stack.blocks
        self._frozen = blocks - top_blocks(config.share, blocks) if config.frozen is None else config.frozen
        if self._frozen > blocks:
            raise ConfigError(f"strategy telly: frozen must be at most {blocks}, got {self._frozen}")

    def trainable_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Parameters above the frozen blocks; all parameters if no block is frozen."""
        for name, p in self.learner.trainable().items():
            place = self._stack.block_of.get(name, self._stack.blocks)  # heads that were added later are above
            if place >= self._frozen or not self._frozen:
                yield name, p

    def frozen_blocks(self, task: Task) -> int:
        """The K bottom blocks."""
        return self._frozen
