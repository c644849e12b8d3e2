"""Synaptic intelligence: changes of weights cost by their contribution to the loss of earlier tasks."""

from typing import final

import torch
from pydantic import Field
from torch import Tensor

from clbench.contracts import Batch, Task
from clbench.core.registry import PENALTIES
from clbench.strategies._parts.importances import WithImportances
from clbench.strategies._parts.penalty import PenaltyConfig


class SiPenaltyConfig(PenaltyConfig):
    """Settings of `SiPenalty`."""

    damping: float = Field(1e-3, gt=0, description="Damping xi, which bounds importances of weights that hardly moved.")


@PENALTIES.register("si", config=SiPenaltyConfig)
@final
class SiPenalty(WithImportances[SiPenaltyConfig]):
    """Adds strength * sum Omega (theta - theta_t)^2 (Zenke, Poole and Ganguli 2017, Eq. 4), as strategy `si` does.

    At every step w -= g (theta_after - theta_before); g is the gradient of the loss (that of kept samples included)
    without the penalty, before clipping. After the task Omega += w / (D^2 + xi), clamped at 0; D is the change of the
    weight in training (Eq. 5). The gradient 2 strength Omega (theta - theta_t) is added after the backward pass, so
    neither g nor the recorded loss has a part of the penalty.
    """

    @torch.no_grad()
    def begin_task(self, task: Task) -> None:
        """Start the path at the version before the task."""
        self._named, double = self.shared_weights(), 2 * self.config.strength
        self._pull = {name: double * omega.to(self.learner.device) for name, omega in self.importances.items()}
        self._start, self._last = ({name: p.clone() for name, p in self._named.items()} for _ in range(2))
        self._path = {name: torch.zeros_like(p) for name, p in self._named.items()}

    def term(self, batch: Batch, task: Task) -> Tensor | None:
        """None: the gradient is added in `after_backward`."""
        return None

    @torch.no_grad()
    def after_backward(self) -> None:
        """Keep the gradient of the loss, then add that of the penalty."""
        self._moving = [(name, p, p.grad.clone()) for name, p in self._named.items() if p.grad is not None]
        for name, p, _ in self._moving:
            if name in self._pull and p.grad is not None:
                p.grad.addcmul_(self._pull[name], p - self._start[name])

    def after_step(self) -> None:
        """Continue the path integral."""
        for name, p, gradient in self._moving:
            self._path[name].addcmul_(gradient, p - self._last[name], value=-1)
            self._last[name].copy_(p)

    def end_task(self, task: Task) -> None:
        """Convert the path integral to importances."""
        for name, path in self._path.items():
            share = (path / ((self._last[name] - self._start[name]) ** 2 + self.config.damping)).cpu()
            self.importances[name] = (self.importances.get(name, 0) + share).clamp(min=0)
        del self._named, self._pull, self._start, self._last, self._moving, self._path
