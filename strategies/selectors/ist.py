"""A quarter of the blocks moves in each step, drawn by how much the loss suffers when a block is damped."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal, cast, final

import torch
from pydantic import Field
from torch import Tensor

from clbench.contracts import Task
from clbench.core.errors import ConfigError
from clbench.core.registry import SELECTORS
from clbench.strategies._parts.blocks import Block, blocks_of
from clbench.strategies._parts.part import Trained
from clbench.strategies._parts.selector import Masks, Moving, Selector, SelectorConfig

DAMPED = 0.25
"""Factor of a damped block's change."""
SETS = 3
"""Sets of blocks that are damped in turn."""
TRIES = 20
"""Draws of sets; equal ones count once."""


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

    Blocks of all towers count together. A change is that of the factors that are 0 at the start (B of LoRA), else that
    of all parameters of the block. Parameters outside the blocks move in every step. Departures: with fewer than four
    blocks one of them moves, where the release moves none; with fewer than three sets all of them are damped, where the
    release does not end. A measurement reads the losses, so the device is waited for. Its forward passes are extra work
    beside the budget: `ist/extra_samples` records their number of samples.
    """

    _scores: Tensor | None = None

    def chosen(self, trained: Sequence[Trained], task: Task) -> Masks:
        """All parameters, whole; blocks get their turns after the backward pass.

        Raises:
            ConfigError: When no trained parameter is in a block.
        """
        blocks = blocks_of(trained, self.learner)
        groups: dict[Block, list[Trained]] = defaultdict(list)
        for item in trained:
            if (block := blocks[item.name]) is not None:
                groups[block].append(item)
        if not groups:
            raise ConfigError("selector ist: the strategy trains nothing in the blocks of the model")
        self._groups = list(groups.values())
        if self._scores is None or not self.config.keep:
            self._scores = torch.zeros(len(groups), dtype=torch.float64)
        self._starts = [_starts(items) for items in self._groups] if self.config.blocks == "importance" else []
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
        assert self._scores is not None
        if self._starts and step % self.config.every == 0:
            self._measure(task)
        weights = torch.sigmoid(-self._scores)
        moved = set(self._drawn(weights, self.config.share))
        for number, items in enumerate(self._groups):
            if number not in moved:
                for item in items:
                    item.parameter.grad = None
        if step == total:
            self.strategy.context.record("ist/extra_samples", self._measured)

    def moving(self, trained: Sequence[Trained]) -> Moving:
        """All values move at some time."""
        total = sum(item.parameter.numel() for item in trained)
        return Moving(total, total)

    def state_dict(self) -> Mapping[str, object]:
        """The scores, if they are kept."""
        return {"scores": self._scores} if self.config.keep and self._scores is not None else {}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Restore the scores."""
        if state:
            self._scores = cast(Tensor, state["scores"]).cpu()

    def _drawn(self, weights: Tensor, share: float) -> list[int]:
        count = max(1, int(share * len(weights)))
        return sorted(torch.multinomial(weights, count, generator=self._generator).tolist())

    @torch.no_grad()
    def _measure(self, task: Task) -> None:
        assert self._scores is not None
        samples = self.strategy.context.samples(task, "train")
        drawn = torch.randint(len(samples), (self.config.samples,), generator=self._generator)
        batch = samples.batch(drawn.to(samples.index_device))
        harmless = torch.sigmoid(self._scores)
        sets = list(dict.fromkeys(tuple(self._drawn(harmless, 0.5)) for _ in range(TRIES)))[:SETS]
        losses = []
        self.learner.module.eval()
        for damped in sets:
            with self._damped(damped), self.learner.autocast():
                losses.append(self.learner.loss(batch, task).detach())
        self.learner.module.train()
        self._measured += len(sets) * self.config.samples
        self._scores = self._scores + self.config.rate * score_change(torch.stack(losses).cpu(), sets, harmless)

    @contextmanager
    def _damped(self, blocks: Sequence[int]) -> Iterator[None]:
        """Damp the changes of some blocks for the duration of a `with` block."""
        found = [(p, start, p.detach().clone()) for number in blocks for p, start in self._starts[number]]
        for p, start, _ in found:
            p.copy_(torch.lerp(start, p, DAMPED))
        yield
        for p, _, present in found:
            p.copy_(present)


def score_change(losses: Tensor, sets: Sequence[Sequence[int]], harmless: Tensor) -> Tensor:
    """Change of the scores by a measurement, without the factor `rate`, `(blocks,)` float64.

    Args:
        losses: Loss with each set of blocks damped, `(sets,)`.
        sets: The sets.
        harmless: p = sigmoid(s) of each block, `(blocks,)`.
    """
    kept = torch.exp(-losses.double())
    inside = torch.zeros(len(sets), len(harmless), dtype=torch.float64)
    for row, blocks in zip(inside, sets, strict=True):
        row[list(blocks)] = 1
    return (kept - kept.mean()) @ inside * harmless * (1 - harmless)


def _starts(items: Sequence[Trained]) -> list[tuple[Tensor, Tensor]]:
    """Parameters whose change is a block's change, each with its value now."""
    copies = [(item, item.parameter.detach().clone()) for item in items]
    zero = [(item, start) for item, start in copies if not item.own and not start.any()]
    return [(item.parameter, start) for item, start in zero or copies]
