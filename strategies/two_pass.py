"""Train twice: all weights, then from the same version again those entries that moved; a control of sparse training."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, final

import torch
from pydantic import Field
from torch import Tensor

from clbench.contracts import Context, Task
from clbench.core.errors import ConfigError
from clbench.core.registry import STRATEGIES
from clbench.core.seeding import generator_for
from clbench.strategies._parts.part import Trained
from clbench.strategies._parts.random_entries import shuffled
from clbench.strategies._parts.selector import Masks
from clbench.strategies._parts.slots import Slot
from clbench.strategies._training.gradient import GradientConfig, GradientTraining
from clbench.strategies._training.optimization import report_losses


class TwoPassConfig(GradientConfig):
    """Settings of `TwoPass`; `tolerance` is that of the paper's code."""

    tolerance: float = Field(1e-5, ge=0, description="An entry has moved if it changed by more than this.")
    mask: Literal["moved", "random"] = Field(
        "moved", description="Train the entries that moved, or as many of each tensor drawn uniformly (control)."
    )


@STRATEGIES.register("two-pass", config=TwoPassConfig)
@final
class TwoPass(GradientTraining[TwoPassConfig]):
    """Full fine-tuning, mask = [|change| > tolerance], then fine-tuning from the version before with this mask.

    The second pass sees the same batches and random views. It says whether the entries that moved suffice (Mukherjee et
    al. 2025 ask this of reinforcement learning); the random mask says whether they matter. It is a strategy and not a
    selector, because finding the mask is a training of its own: an update makes twice the budget's steps.

    In float32 nearly every entry moves by more than 1e-5 within a few steps of 1e-5 or more, so choose the tolerance by
    the share of entries that moved, which is recorded as `two-pass/moved`. Shares published for bfloat16 weights are
    not comparable.
    """

    slots: ClassVar[tuple[Slot, ...]] = ("optimizer",)

    def __init__(self, config: TwoPassConfig, context: Context) -> None:
        super().__init__(config, context)
        self._moved: Masks | None = None

    def learn(self, task: Task) -> None:
        """Train, restore the version before, and train what moved.

        Raises:
            ConfigError: When nothing moved in the first pass.
            TrainingError: When a loss is not finite in either pass.
        """
        steps = self.context.budget.steps
        weights = self.learner.trainable()
        before = {name: p.detach().clone() for name, p in weights.items()}
        state = self.generator.get_state()
        with torch.random.fork_rng():
            report_losses(self._train(task, steps), task, self.config.rate, lambda name, value: None)
        self._moved = self._mask(before)
        with torch.no_grad():
            for name, p in weights.items():
                p.copy_(before[name])
        self.generator.set_state(state)
        losses = self._train(task, steps)
        self._moved = None
        report_losses(losses, task, self.config.rate, self.context.record)

    def masks(self, trained: Sequence[Trained], task: Task) -> Masks | None:
        """None in the first pass, then what moved in it."""
        return self._moved

    def _mask(self, before: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Entries that moved, or as many drawn uniformly; tensors in which nothing moved are left out.

        Raises:
            ConfigError: When nothing moved.
        """
        heads, limit = self.task_parameters(), self.config.tolerance
        weights = {name: p.detach() for name, p in self.trainable_parameters() if name not in heads}
        found = {name: (p - before[name]).abs() > limit for name, p in weights.items()}
        moved = {name: mask for name, mask in found.items() if mask.any()}
        if not moved:
            raise ConfigError(f"strategy two-pass: no entry moved by more than the tolerance {limit:g}")
        count = sum(int(mask.sum()) for mask in moved.values())
        self.context.record("two-pass/moved", count / sum(mask.numel() for mask in found.values()))
        if self.config.mask == "moved":
            return moved
        generator = generator_for(self.generator.initial_seed(), "mask")
        return {name: shuffled(mask, generator) for name, mask in moved.items()}

    def number_of_steps(self, task: Task) -> int:
        """Twice the budget's steps."""
        return 2 * self.context.budget.steps
