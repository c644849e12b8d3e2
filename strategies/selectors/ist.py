"""A quarter of the blocks moves in each step, drawn by how much the loss suffers when a block is damped."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Literal, cast, final

import torch
from pydantic import Field
from torch import Tensor

from clbench.contracts import Task
from clbench.core.errors import ConfigError
from clbench.core.registry import SELECTORS
from clbench.strategies._parts.block_damping import BlockChanges, different_sets, drawn_blocks, score_change
from clbench.strategies._parts.blocks import grouped_by_block
from clbench.strategies._parts.part import Trained
from clbench.strategies._parts.selector import Masks, Moving, Selector, SelectorConfig


class IstConfig(SelectorConfig):
    """Settings of `Ist`; the defaults are those of the released code."""

    share: float = Field(0.25, gt=0, le=1, description="Share of the blocks that move in a step, at least one.")
    blocks: Literal["importance", "random"] = Field(
        "importance", description="Draw important blocks more often, or all alike (the authors' control, RST)."
    )
    every: int = Field(10, ge=1, description="Importance is measured in every step that is a multiple of this.")
    samples: int = Field(16, ge=1, description="Training samples of a measurement.")
    rate: float = Field(10.0, gt=0, description="Step of the scores.")
    keep: bool = Field(False, description="Keep the scores for the next update instead of starting at 0.")


@SELECTORS.register("ist", config=IstConfig)
@final
class Ist(Selector[IstConfig]):
    """IST (Yao et al. 2024), made for LoRA: a step gives some blocks no gradient, so their weights and moments stay.

    A block has a score s, 0 at first, which is high if the block is unimportant; blocks are drawn with weights
    sigmoid(-s). A measurement draws three different sets of half of the blocks with weights sigmoid(s), damps each in
    turn to a quarter of its change, and has losses l_k on one batch without dropout. With rewards r_k = exp(-l_k) minus
    their mean, s_i grows by `rate` r_k p_i (1 - p_i) for each set k with i, p = sigmoid(s) before the measurement.

    Blocks of all towers count together. Parameters outside the blocks move in every step. Departures: with fewer than
    four blocks one of them moves, where the release moves none; with fewer than three sets all of them are damped,
    where the release does not end. A measurement reads the losses, so the device is waited for. Its forward passes are
    extra work beside the budget: `ist/extra_samples` records their number of samples.
    """

    _scores = torch.zeros(0, dtype=torch.float64)

    def chosen(self, trained: Sequence[Trained], task: Task) -> Masks:
        """All parameters, whole; blocks get their turns after the backward pass.

        Raises:
            ConfigError: When no trained parameter is in a block.
        """
        self._blocks = grouped_by_block(trained, self.learner)
        if not self._blocks:
            raise ConfigError("selector ist: the strategy trains nothing in the blocks of the model")
        if not self.config.keep or not len(self._scores):
            self._scores = torch.zeros(len(self._blocks), dtype=torch.float64)
        self._changes = BlockChanges(self._blocks) if self.config.blocks == "importance" else None
        self._generator = self.new_generator()
        self._measured = 0
        return {item.name: None for item in trained}

    def after_backward(self, step: int, total: int, task: Task) -> None:
        """Measure importance if it is time to, and drop the gradients of blocks without a turn.

        Args:
            step: Number of the step, from 1.
            total: Number of steps.
            task: The task.
        """
        if self._changes and step % self.config.every == 0:
            self._measure(self._changes, task)
        moved = drawn_blocks(torch.sigmoid(-self._scores), self.config.share, self._generator)
        for item in chain.from_iterable(items for n, items in enumerate(self._blocks) if n not in moved):
            item.parameter.grad = None
        if step == total:
            self.strategy.context.record("ist/extra_samples", self._measured)

    def moving(self, trained: Sequence[Trained]) -> Moving:
        """All values move at some time."""
        total = sum(item.parameter.numel() for item in trained)
        return Moving(total, total)

    def state_dict(self) -> Mapping[str, object]:
        """The scores, if they are kept."""
        return {"scores": self._scores} if self.config.keep and len(self._scores) else {}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Restore the scores."""
        if state:
            self._scores = cast(Tensor, state["scores"]).cpu()

    def _measure(self, changes: BlockChanges, task: Task) -> None:
        samples = self.strategy.context.samples(task, "train")
        drawn = torch.randint(len(samples), (self.config.samples,), generator=self._generator)
        batch = samples.batch(drawn.to(samples.index_device))
        harmless = torch.sigmoid(self._scores)
        sets = different_sets(harmless, self._generator)
        losses = changes.losses(sets, self.learner, batch, task).cpu()
        self._scores = self._scores + self.config.rate * score_change(losses, sets, harmless)
        self._measured += len(sets) * self.config.samples
