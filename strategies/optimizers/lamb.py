"""Adam whose step in each tensor has the length of the tensor's weights."""

from collections.abc import Sequence
from typing import final

from pydantic import Field
from torch.optim import Optimizer

from clbench.core.registry import OPTIMIZERS
from clbench.strategies._parts.optimizer import OptimizerConfig, OptimizerPart, Plan
from clbench.strategies._parts.part import Trained


class LambConfig(OptimizerConfig):
    """Settings of `Lamb`; decay rates are the strategy's `betas`."""

    eps: float = Field(1e-6, gt=0, description="Added to the root of the second moment.")


@OPTIMIZERS.register("lamb", config=LambConfig)
@final
class Lamb(OptimizerPart[LambConfig]):
    """u = m / (sqrt(v) + eps) + decay w; w <- w - lr (||w|| / ||u||) u in each tensor (You et al. 2020, Algorithm 2).

    This is timm's Lamb with two changes of its defaults. It clips gradients by itself; here the loop does that. Without
    weight decay it drops the ratio of norms; here the ratio always applies (`always_adapt`), or it would be Adam.

    A step is lr times the norm of the weights, however small the gradient is. A tensor of zeros (B of a LoRA adapter)
    has ratio 1. Under a mask the norm of the weights is that of the whole tensor, so the fewer entries move, the
    further they go: choose whole tensors, or a smaller rate.
    """

    still_without_gradient = True

    def build(self, parameters: Sequence[Trained], plan: Plan) -> Optimizer:
        """Lamb of all parameters."""
        from timm.optim.lamb import Lamb as TimmLamb  # timm takes a while to import

        return TimmLamb(
            [item.parameter for item in parameters],
            lr=plan.lr,
            betas=plan.betas,
            eps=self.config.eps,
            weight_decay=plan.weight_decay,
            max_grad_norm=None,
            always_adapt=True,
        )
