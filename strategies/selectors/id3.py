"""Single values start to move step by step, those with a large gradient for their size first."""

from collections.abc import Sequence
from typing import ClassVar, Literal, final

import torch
from pydantic import Field

from clbench.contracts import Task
from clbench.core.registry import SELECTORS
from clbench.strategies._parts.gradual_release import GradientScores, pieces_of, released_by
from clbench.strategies._parts.part import Trained
from clbench.strategies._parts.selector import Masks, Moving, Selector, SelectorConfig


class Id3Config(SelectorConfig):
    """Settings of `Id3`; p and eps are those of the released code."""

    share: float = Field(0.01, gt=0, le=1, description="Share of the values that move at the end, at least one.")
    count: int | None = Field(None, ge=1, description="Number of values that move at the end; overrides the share.")
    p: float = Field(0.0, ge=0, description="Exponent of the weight's size; only the gradient counts if 0.")
    eps: float = Field(1e-3, gt=0, description="Added to the weight's size.")
    score: Literal["gradient", "random"] = Field(
        "gradient", description="Release the values with the largest scores, or values drawn uniformly (control)."
    )


@SELECTORS.register("id3", config=Id3Config)
@final
class Id3(Selector[Id3Config]):
    """ID3: step t releases the u_t frozen values with the largest |g| / (|theta| + eps)^p in the whole model.

    u_t = B div T, and one more in the first B mod T steps, for B values in T steps. So exactly B move in the last step,
    and together they make about half of the moves of a choice made before the first step. A value that was released is
    never frozen again in the update; every update starts with none. Departures from the released code, which keeps no
    such count: fewer values than steps are allowed, and frozen weights do not decay.
    """

    needs_weights: ClassVar[bool] = True

    def chosen(self, trained: Sequence[Trained], task: Task) -> Masks:
        """Masks of all parameters, in which nothing moves yet."""
        parameters = [item.parameter for item in trained]
        budget, total = self.moving(trained).values, sum(p.numel() for p in parameters)
        self._positions = torch.randperm(total, generator=self.new_generator())[:budget].to(self.learner.device)
        self._released = torch.zeros(total, dtype=torch.bool, device=self.learner.device)
        if self.config.score == "gradient" and parameters:
            self._scores = GradientScores(parameters, self.config.p, self.config.eps)
        self.strategy.context.record("select/values", budget)
        return dict(zip((item.name for item in trained), pieces_of(self._released, parameters), strict=True))

    def after_backward(self, step: int, total: int, task: Task) -> None:
        """Release the values of a step.

        Args:
            step: Number of the step, from 1.
            total: Number of steps.
            task: The task.
        """
        before, now = (released_by(number, total, len(self._positions)) for number in (step - 1, step))
        if self.config.score == "gradient" and now > before:
            self._positions[before:now] = self._scores.top(now - before, without=self._positions[:before])
        self._released.index_fill_(0, self._positions[before:now], True)

    def moving(self, trained: Sequence[Trained]) -> Moving:
        """B values move; gradients of all values are computed."""
        total = sum(item.parameter.numel() for item in trained)
        wanted = round(self.config.share * total) if self.config.count is None else self.config.count
        return Moving(min(total, max(1, wanted)), total)
