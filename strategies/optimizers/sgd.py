"""Stochastic gradient descent with momentum."""

from collections.abc import Sequence
from typing import final

from pydantic import Field
from torch.optim import Optimizer

from clbench.core.registry import OPTIMIZERS
from clbench.strategies._parts.optimizer import OptimizerConfig, OptimizerPart, Plan
from clbench.strategies._parts.part import Trained


class SgdConfig(OptimizerConfig):
    """Settings of `Sgd`."""

    momentum: float = Field(0.9, ge=0, lt=1, description="Decay rate of the sum of gradients; plain SGD if 0.")
    nesterov: bool = Field(False, description="Step by the gradient plus the decayed sum (Nesterov's form).")


@OPTIMIZERS.register("sgd", config=SgdConfig)
@final
class Sgd(OptimizerPart[SgdConfig]):
    """m <- momentum m + g; w <- (1 - lr decay) w - lr m, by timm's SGDW (Loshchilov and Hutter 2019, Algorithm 1).

    Weight decay is decoupled, as in all optimizers here; that of torch's SGD is added to the gradient. Its rate is not
    comparable with AdamW's, which divides by the gradient's size: search it.
    """

    takes_shards = True
    still_without_gradient = True

    @property
    def state_bytes(self) -> float:
        """One sum of gradients, if there is momentum."""
        return 4.0 if self.config.momentum else 0.0

    def build(self, parameters: Sequence[Trained], plan: Plan) -> Optimizer:
        """SGDW of all parameters."""
        from timm.optim.sgdw import SGDW  # timm takes a while to import

        found = [item.parameter for item in parameters]
        momentum, nesterov = self.config.momentum, self.config.nesterov and self.config.momentum > 0
        return SGDW(found, plan.lr, momentum, weight_decay=plan.weight_decay, nesterov=nesterov)
