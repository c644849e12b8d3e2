"""Low-rank adapters with a gate for each rank, which a proximal step can shrink to zero.

PEFT has none: its LoRA has no gates, and AdaLoRA's singular values follow other rules. They start at zero, a loss term
keeps A and B near orthogonal, and a global budget of importance scores cuts ranks. CoDyRA's gates start at random.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from clbench.strategies._adapters.initial_factors import drawn_factors
from clbench.strategies._adapters.low_rank import Arithmetic, LowRankAdapter


class GatedAdapter(LowRankAdapter):
    """Low-rank updates B diag(gate) A whose gates live in one tensor, of which each layer's gate is a view.

    So the optimizer sees one parameter for each layer, and an operation on all gates is one operation.

    Args:
        module: The module that holds the layers.
        names: Names of its linear layers.
        rank: Rank of every update.
        generator: Source of the gates, N(0, 1), and then of the A's; on the CPU.

    Attributes:
        gates: `(layers, rank)`.
    """

    def __init__(self, module: nn.Module, names: Sequence[str], rank: int, generator: torch.Generator) -> None:
        gates = torch.randn(len(names), rank, generator=generator)
        factors = drawn_factors(module, names, rank, generator)
        self.gates = gates.to(factors[names[0]].a)
        gated = zip(factors.items(), self.gates, strict=True)
        super().__init__({name: replace(found, gate=nn.Parameter(gate)) for (name, found), gate in gated}, Arithmetic())

    def shrink(self, operator: Callable[[Tensor, float], Tensor], kappa: float) -> None:
        """Apply a proximal operator with threshold kappa to all gates, in place."""
        self.gates.copy_(operator(self.gates, kappa))
