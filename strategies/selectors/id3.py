"""Single values start to move step by step, those with a large gradient for their size first."""

from collections.abc import Sequence
from typing import ClassVar, Literal, final

import torch
from pydantic import Field
from torch import Tensor

from clbench.contracts import Task
from clbench.core.errors import ConfigError
from clbench.core.registry import SELECTORS
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
    such count: fewer values than steps are allowed, and frozen weights do not decay. A step sorts out the largest
    scores of the whole model.
    """

    needs_weights: ClassVar[bool] = True

    def chosen(self, trained: Sequence[Trained], task: Task) -> Masks:
        """Masks of all parameters, in which nothing moves yet.

        Raises:
            ConfigError: When the strategy trains nothing.
        """
        if not trained:
            raise ConfigError("selector Id3: nothing is left to train")
        self._trained = list(trained)
        sizes = [item.parameter.numel() for item in trained]
        self._released = torch.zeros(sum(sizes), dtype=torch.bool, device=trained[0].parameter.device)
        if self.config.score == "random":
            order = torch.randperm(sum(sizes), generator=self.new_generator())[: self._budget(sum(sizes))]
            self._order = order.to(self._released.device)
        self.strategy.context.record("select/values", self._budget(sum(sizes)))
        pieces = zip(trained, self._released.split(sizes), strict=True)
        return {item.name: piece.view(item.parameter.shape) for item, piece in pieces}

    @torch.no_grad()
    def after_backward(self, step: int, total: int, task: Task) -> None:
        """Release the values of a step.

        Args:
            step: Number of the step, from 1.
            total: Number of steps.
            task: The task.
        """
        budget = self._budget(len(self._released))
        before, now = (released_by(number, total, budget) for number in (step - 1, step))
        if self.config.score == "random":
            self._released[self._order[before:now]] = True
        elif now > before:
            scores = torch.cat([self._scores(item.parameter).flatten() for item in self._trained])
            scores.masked_fill_(self._released, -torch.inf)
            self._released[scores.topk(now - before, sorted=False).indices] = True

    def moving(self, trained: Sequence[Trained]) -> Moving:
        """B values move; gradients of all values are computed."""
        total = sum(item.parameter.numel() for item in trained)
        return Moving(self._budget(total), total)

    def _budget(self, total: int) -> int:
        wanted = round(self.config.share * total) if self.config.count is None else self.config.count
        return min(total, max(1, wanted))

    def _scores(self, p: Tensor) -> Tensor:
        if p.grad is None:
            return torch.zeros_like(p)
        return p.grad.abs() * (p.abs() + self.config.eps) ** -self.config.p if self.config.p else p.grad.abs()


def released_by(step: int, total: int, budget: int) -> int:
    """Number of values released in the first steps of an update.

    Args:
        step: Number of these steps.
        total: Number of steps of the update.
        budget: Number of values released in all.
    """
    each, more = divmod(budget, total)
    return step * each + min(step, more)
