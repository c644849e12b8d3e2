"""Steps with all singular values near 1, for matrices; AdamW for all other parameters."""

from collections.abc import Sequence
from typing import final

from torch.optim import Optimizer

from clbench.core.registry import OPTIMIZERS
from clbench.strategies._parts.muon import MuonConfig, muon_of
from clbench.strategies._parts.optimizer import OptimizerPart, Plan
from clbench.strategies._parts.part import Trained


@OPTIMIZERS.register("muon", config=MuonConfig)
@final
class Muon(OptimizerPart[MuonConfig]):
    """m <- b m + (1 - b) g; w <- (1 - lr decay) w - lr scale NS(m), by torch's Muon (Jordan et al. 2024).

    NS is five Newton-Schulz steps, which set the singular values of a matrix to about 1 (0.7 to 1.2), in bfloat16 on
    every device. It takes the weights of linear layers and the factors of adapters. Embeddings, norms, biases and heads
    are trained by AdamW, as its authors advise.

    Under a mask, orthogonalization mixes entries: those that move are steps of the whole matrix, cut to the mask.
    """

    @property
    def state_bytes(self) -> float:
        """One mean of gradients."""
        return 4.0

    def takes(self, trained: Trained) -> bool:
        """Matrices."""
        return trained.is_matrix

    def build(self, parameters: Sequence[Trained], plan: Plan) -> Optimizer:
        """Muon of the matrices."""
        return muon_of([item.parameter for item in parameters], self.config, plan)
