"""TAP-SLF: soft prompts for each kind of task, adapters in the top blocks, all other weights frozen."""

from collections.abc import Iterator
from typing import ClassVar, Literal, final

from pydantic import Field
from torch import nn

from clbench.contracts import Context, LinearLayer, PromptPlan, Sharing, Stacked, Task, require
from clbench.core.errors import ConfigError
from clbench.core.registry import STRATEGIES
from clbench.strategies._adapters.lora_strategy import attached_lora
from clbench.strategies._training.gradient import GradientConfig
from clbench.strategies._training.layers import Role
from clbench.strategies._training.prompted import PromptConfig, PromptedStrategy
from clbench.strategies._training.top_blocks import top_blocks


class TapSlfConfig(PromptConfig, GradientConfig):
    """Settings of `TapSlf`; `prompts`, `share`, `roles`, `rank`, `alpha`, `dropout` are as in the authors' release.

    Not the authors' are `lr` and `head_lr` (theirs are 5e-5 and 1e-4 for the encoder, 2.5e-4 to 1e-3 for heads),
    `weight_decay` (theirs 0.01), `schedule` (theirs restarts: 10 epochs, then twice as many), `warmup` (theirs
    3 epochs), `enter` (their prompts do not enter attention), `training` (theirs is joint), `sampling` (theirs is
    proportional to a task's size) and `weights` (theirs are set for each task). See docs/tap_slf.md.
    """

    lr: float = Field(1e-3, gt=0, description="Peak learning rate of AdamW, for the adapters.")
    share: float = Field(0.3, ge=0, le=1, description="Share of blocks with adapters, at the top; see `top_blocks`.")
    roles: tuple[Role, ...] = Field(("q", "k", "v", "out"), min_length=1, description="Projections that get adapters.")
    rank: int = Field(8, ge=1, description="Rank r of each adapter.")
    alpha: float | None = Field(16, gt=0, description="The update is scaled by alpha / rank; by 1 if null.")
    dropout: float = Field(0.05, ge=0, lt=1, description="Dropout before the adapters.")
    enter: int | Literal["top"] = Field(
        0, description="Block, from 0, at whose input prompts are inserted; `top`: the first with adapters."
    )
    sharing: Sharing = Field("kind", description="Which tasks share prompts: all, those of a kind, none, or a sum.")
    detection_prompts: bool = Field(False, description="Whether detection tasks use prompts, too.")


@STRATEGIES.register("tap-slf", config=TapSlfConfig)
@final
class TapSlf(PromptedStrategy[TapSlfConfig]):
    """Task-aware prompting with selective layer fine-tuning (Wan and Lan 2026, arXiv 2603.00433).

    Soft prompts, a bank for each kind of task, are inserted among the input's tokens. The attention of the top share of
    blocks has low-rank adapters. Only prompts, adapters and heads are trained. Detection has no prompts.

    This follows the paper. Deviation from the authors' release: there the prompts do not enter attention, and half of
    the encoder is trained. docs/tap_slf.md compares paper, release and this strategy.

    After a task the adapters are merged into the weights, as in `lora`, and the next task starts with new ones. So a
    version is one model, which can forget earlier tasks in the top blocks and in shared banks.
    """

    trains_weights: ClassVar[bool] = False

    def __init__(self, config: TapSlfConfig, context: Context) -> None:
        blocks = require(context.learner, Stacked, "strategy tap-slf").stack().blocks
        self._first = blocks - top_blocks(config.share, blocks)
        if not config.share and config.enter == "top" and config.prompts:
            raise ConfigError("strategy tap-slf: enter: top needs a share of blocks above 0")
        super().__init__(config, context)

    def plan(self) -> PromptPlan:
        """The plan of the settings."""
        c = self.config
        enter = self._first if c.enter == "top" else c.enter
        return PromptPlan(
            c.prompts,
            enter,
            c.deep,
            c.sharing,
            frozenset() if c.detection_prompts else frozenset({"detection"}),
            "normal",
        )

    def begin_task(self, task: Task) -> None:
        """Attach a new adapter to the attention of the top blocks."""
        super().begin_task(task)
        self._attach()

    def trainable_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """A and B of every layer."""
        yield from self._adapter.parameters()

    def end_task(self, task: Task) -> None:
        """Merge the adapter into the weights."""
        self._adapter.merge(self.learner.module)
        del self._adapter

    def frozen_blocks(self, task: Task) -> int:
        """Blocks below the adapters and below the entry of prompts."""
        return min(self._first, super().frozen_blocks(task))

    def footprint(self) -> dict[str, int]:
        """Number of values in A, B and one task's prompts, of adapted layers, and of their blocks."""
        layers = self._layers()
        self._attach()
        blocks = {layer.block for layer in layers}
        return {**super().footprint(), "adapters": len(layers), "adapted_blocks": len(blocks)}

    def _attach(self) -> None:
        self._adapter = attached_lora(self.learner, self._layers(), self.config)

    def _layers(self) -> tuple[LinearLayer, ...]:
        """Layers of the chosen roles in the top blocks."""
        wanted = [layer for layer in self.learner.linear_layers() if layer.block >= self._first]
        return tuple(layer for layer in wanted if layer.role in self.config.roles)
