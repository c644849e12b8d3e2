"""Steps of the same length in every entry, in the direction of the gradient's sign."""

from collections.abc import Sequence
from typing import Any, final

import torch
from pydantic import Field
from torch import Tensor
from torch.optim import Optimizer

from clbench.core.registry import OPTIMIZERS
from clbench.strategies._parts.optimizer import OptimizerConfig, OptimizerPart, Plan
from clbench.strategies._parts.part import Trained


class SignSgdConfig(OptimizerConfig):
    """Settings of `SignSgd`."""

    momentum: float = Field(0.0, ge=0, lt=1, description="Decay rate of the mean of gradients whose sign is taken.")


@OPTIMIZERS.register("sign-sgd", config=SignSgdConfig)
@final
class SignSgd(OptimizerPart[SignSgdConfig]):
    """w <- (1 - lr decay) w - lr sign(g) (Bernstein et al. 2018, Algorithm 1); with momentum it is their Signum.

    Without momentum it needs no memory. A step is as long as Adam's largest and does not shrink with the gradient, so
    the schedule must let the rate fall to 0 (`cosine`). An entry whose gradient is exactly 0 stays.
    """

    still_without_gradient = True

    @property
    def state_bytes(self) -> float:
        """One mean of gradients, if there is momentum."""
        return 4.0 if self.config.momentum else 0.0

    def build(self, parameters: Sequence[Trained], plan: Plan) -> Optimizer:
        """The optimizer of all parameters."""
        defaults = {"lr": plan.lr, "weight_decay": plan.weight_decay, "momentum": self.config.momentum}
        return SignOfGradient([item.parameter for item in parameters], defaults)


class SignOfGradient(Optimizer):
    """Sign-SGD and Signum."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                    p.add_(self._direction(p, group["momentum"]), alpha=-group["lr"])

    def _direction(self, p: Tensor, momentum: float) -> Tensor:
        assert p.grad is not None
        if not momentum:
            return p.grad.sign()
        state = self.state[p]
        mean: Tensor = state.setdefault("mean", torch.zeros_like(p)).lerp_(p.grad, 1 - momentum)
        return mean.sign()
