"""TAP-SLF: prompts by the kind of task in the input, adapters in the top blocks, everything else frozen."""

from collections.abc import Iterator
from typing import Literal, final

from pydantic import Field
from torch import nn

from clbench.contracts import Context, LinearLayer, PromptPlan, Sharing, Task
from clbench.core.errors import ConfigError
from clbench.core.registry import STRATEGIES
from clbench.strategies._adapters.lora_strategy import attached_lora
from clbench.strategies._training.gradient import GradientConfig
from clbench.strategies._training.layers import Role
from clbench.strategies._training.prompted import PromptConfig, PromptedStrategy
from clbench.strategies._training.top_blocks import top_blocks


class TapSlfConfig(PromptConfig, GradientConfig):
    """Settings of `TapSlf`; `prompts`, `share`, `roles`, `rank`, `alpha`, `dropout` are as in the authors' release.

    These are not: `lr` and `head_lr` (theirs are 5e-5 and 1e-4 for the encoder, 2.5e-4 to 1e-3 for heads),
    `weight_decay` (theirs 0.01), `schedule` (theirs restarts: 10 epochs, then twice as many), `warmup` (theirs
    3 epochs), `enter` (there prompts meet no attention), `training` (theirs is joint), `sampling` (theirs is
    proportional to a task's size) and `weights` (theirs are set for each task). See docs/tap_slf.md.
    """

    lr: float = Field(1e-3, gt=0, description="Peak learning rate of AdamW, for the adapters.")
    share: float = Field(0.3, ge=0, le=1, description="Share of blocks, at the top, with adapters; see `top_blocks`.")
    roles: tuple[Role, ...] = Field(("q", "k", "v", "out"), min_length=1, description="Which projections get them.")
    rank: int = Field(8, ge=1, description="Rank r of each adapter.")
    alpha: float | None = Field(16, gt=0, description="The update is scaled by alpha / rank; by 1 if null.")
    dropout: float = Field(0.05, ge=0, lt=1, description="Dropout before the adapters.")
    enter: int | Literal["top"] = Field(
        0, description="The block, from 0, at whose input prompts appear; `top` for the first one with adapters."
    )
    sharing: Sharing = Field("kind", description="Who shares prompts: all tasks, those of a kind, nobody, or a sum.")
    detection_prompts: bool = Field(False, description="Whether tasks of detection are read with prompts, too.")


@STRATEGIES.register("tap-slf", config=TapSlfConfig)
@final
class TapSlf(PromptedStrategy[TapSlfConfig]):
    """Task-aware prompting with selective layer fine-tuning (Wan and Li 2026, arXiv 2603.00433).

    Soft prompts, a bank for each kind of task, stand among the input's tokens; low-rank adapters are in the attention
    of the top share of blocks; those two and the heads are trained, and nothing else. Detection goes without prompts.
    In the authors' release the prompts meet no attention and half of the encoder is trained; this does what the paper
    says. What each of the three says, and why this is as it is: docs/tap_slf.md.

    After a task the adapters' products are added to the weights, as `lora` does, and the next task starts with fresh
    ones: a version is one model, and what it knew of earlier tasks can be lost in the top blocks and in shared banks.
    """

    def __init__(self, config: TapSlfConfig, context: Context) -> None:
        blocks = context.learner.stack().blocks
        self._first = blocks - top_blocks(config.share, blocks)
        if not config.share and config.enter == "top" and config.prompts:
            raise ConfigError("strategy tap-slf: enter: top needs a share of blocks above 0")
        super().__init__(config, context)

    def plan(self) -> PromptPlan:
        """From the settings."""
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
        """Wrap the attention of the top blocks in fresh adapters."""
        super().begin_task(task)
        self._attach()

    def trainable_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """A and B of every adapter."""
        yield from self._adapter.parameters()

    def end_task(self, task: Task) -> None:
        """Merge the adapters into the weights and unwrap the layers."""
        self._adapter.merge(self.learner.module)
        del self._adapter

    def frozen_blocks(self, task: Task) -> int:
        """Those below the adapters, as far as no prompts come in."""
        return min(self._first, super().frozen_blocks(task))

    def footprint(self) -> dict[str, int]:
        """The size of A, B and the prompts of one task; the number of adapted layers and of their blocks."""
        layers = self._layers()
        self._attach()
        blocks = {layer.block for layer in layers}
        return {**super().footprint(), "adapters": len(layers), "adapted_blocks": len(blocks)}

    def _attach(self) -> None:
        self._adapter = attached_lora(self.learner, self._layers(), self.config)

    def _layers(self) -> tuple[LinearLayer, ...]:
        """Those of the chosen roles in the top blocks."""
        wanted = [layer for layer in self.learner.linear_layers() if layer.block >= self._first]
        return tuple(layer for layer in wanted if layer.role in self.config.roles)
