"""Synaptic intelligence: a penalty on changes of weights, by their contribution to the loss of earlier tasks."""

from collections.abc import Mapping
from typing import cast, final

import torch
from pydantic import Field
from torch import Tensor, nn

from clbench.contracts import Context, Task
from clbench.core.registry import STRATEGIES
from clbench.strategies._training.gradient import GradientConfig, GradientStrategy


class SiConfig(GradientConfig):
    """Settings of `Si`; `strength`, optimizer and schedule are ours."""

    strength: float = Field(100.0, ge=0, description="Weight c of the penalty.")
    damping: float = Field(
        1e-3, gt=0, description="Damping xi, which bounds importances of weights that hardly changed."
    )


@STRATEGIES.register("si", config=SiConfig)
@final
class Si(GradientStrategy[SiConfig]):
    """Adds c sum Omega (theta - theta*)^2 to the loss (Zenke, Poole and Ganguli 2017, Eq. 4), theta* the last version.

    While a task is learnt, w -= g (theta_after - theta_before) at every step; g is the gradient of the task loss alone,
    before clipping. After the task Omega += w / (D^2 + xi), where D is the total change of the weight (Eq. 5).

    The gradient of the penalty, 2 c Omega (theta - theta*), is added to that of the task loss after the backward pass.
    So g needs no second pass and has no round-off of the penalty, and the recorded loss is that of the task. As in the
    authors' code, Omega is clamped at 0 after every task, because a negative one would push weights away.
    theta_after - theta_before is the optimizer's whole step, with clipping and both gradients.
    """

    def __init__(self, config: SiConfig, context: Context) -> None:
        super().__init__(config, context)
        self._omega: dict[str, Tensor] = {}
        """Importance of every weight by parameter name, summed over the tasks so far."""

    @torch.no_grad()
    def begin_task(self, task: Task) -> None:
        """Start the path at the version before the task, which is also theta*, so theta* is not saved."""
        named = dict(self.trainable_parameters())
        self._weights = list(named.values())
        double = 2 * self.config.strength
        self._pull = [double * self._known(name, p) for name, p in named.items()] if self._omega else []
        self._anchor, self._before = ([p.clone() for p in self._weights] for _ in range(2))
        self._gradient, self._path = ([torch.zeros_like(p) for p in self._weights] for _ in range(2))

    @torch.no_grad()
    def after_backward(self, task: Task) -> None:
        """Keep weights and gradient of the task loss, then add the gradient of the penalty."""
        for i, p in enumerate(self._weights):
            self._before[i].copy_(p)
            if p.grad is None:
                self._gradient[i].zero_()
                continue
            self._gradient[i].copy_(p.grad)
            if self._pull:
                p.grad.addcmul_(self._pull[i], p - self._anchor[i])

    def after_step(self, task: Task, step: int) -> None:
        """Continue the path integral."""
        for path, gradient, p, before in zip(self._path, self._gradient, self._weights, self._before, strict=True):
            path.addcmul_(gradient, p - before, value=-1)

    @torch.no_grad()
    def end_task(self, task: Task) -> None:
        """Convert the path integral to importances."""
        names = [name for name, _ in self.trainable_parameters()]
        for name, path, p, start in zip(names, self._path, self._weights, self._anchor, strict=True):
            share = (path / ((p - start) ** 2 + self.config.damping)).cpu()
            self._omega[name] = (self._omega.get(name, 0) + share).clamp(min=0)
        del self._weights, self._pull, self._anchor, self._before, self._gradient, self._path

    def _known(self, name: str, p: nn.Parameter) -> Tensor:
        """Importance of a weight; zeros for a weight that was added with the task."""
        return self._omega[name].to(p.device) if name in self._omega else torch.zeros_like(p)

    def state_dict(self) -> Mapping[str, object]:
        """The importances."""
        return {"omega": self._omega}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Restore the importances."""
        self._omega = dict(cast(Mapping[str, Tensor], state["omega"]))
