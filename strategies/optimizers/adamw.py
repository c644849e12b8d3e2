"""AdamW for all parameters, the default."""

from collections.abc import Sequence
from typing import final

from torch.optim import Optimizer

from clbench.core.registry import OPTIMIZERS
from clbench.strategies._parts.optimizer import OptimizerConfig, OptimizerPart, Plan
from clbench.strategies._parts.part import Trained


@OPTIMIZERS.register("adamw", config=OptimizerConfig)
@final
class AdamW(OptimizerPart[OptimizerConfig]):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019), as torch has it.

    AdamW trains what an optimizer does not take, so this one takes nothing. Its decay rates are the setting `betas` of
    the strategy.
    """

    takes_nothing = True
    takes_shards = True
    still_without_gradient = True

    def takes(self, trained: Trained) -> bool:
        """Nothing."""
        return False

    def build(self, parameters: Sequence[Trained], plan: Plan) -> Optimizer:
        """Not called, as no parameter is taken."""
        raise AssertionError("takes no parameters")
