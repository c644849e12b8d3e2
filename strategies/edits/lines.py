"""LiNeS: scale the update of a task less in shallow blocks than in deep ones."""

import math
from collections.abc import Mapping
from typing import Literal, final

from pydantic import Field
from torch import Tensor, nn

from clbench.contracts import Task
from clbench.core.registry import EDITS
from clbench.strategies._parts.blocks import depths
from clbench.strategies._parts.edit import Edit, EditConfig


class LinesConfig(EditConfig):
    """Settings of `Lines`; `a` is ours, the authors search for it."""

    a: float = Field(0.3, ge=0, description="Factor of the update in the first block of a tower and outside of blocks.")
    b: float | None = Field(None, description="What the factor grows by up to the last block; 1 - a if null.")
    order: Literal["depth", "reversed", "uniform"] = Field(
        "depth",
        description="Factors by depth; controls: the largest factor in the first block, or one factor for all"
        " parameters that gives an update of the same norm.",
    )


@EDITS.register("lines", config=LinesConfig)
@final
class Lines(Edit[LinesConfig]):
    """Scales the update of shallow blocks less than that of deep ones (LiNeS, Wang et al. 2025), after any strategy.

    theta = theta_anchor + (a + b d) (theta_learnt - theta_anchor), d in [0, 1] the depth of the parameter's block in
    its own tower; norms and biases belong to their block. Outside the blocks the factor is a. With a = 1 and b = null
    nothing changes.
    """

    def check(self, task: Task) -> None:
        """Refuse a learner without blocks.

        Raises:
            ConfigError: For such a learner.
        """
        depths(self.learner)

    def apply(self, weights: Mapping[str, nn.Parameter], anchor: Mapping[str, Tensor]) -> None:
        """Scale in place."""
        a, b = self.config.a, 1 - self.config.a if self.config.b is None else self.config.b
        factors = dict.fromkeys(weights, a)
        for name, depth in depths(self.learner).items():
            if name in weights and depth is not None:
                factors[name] = a + b * (1 - depth if self.config.order == "reversed" else depth)
        if self.config.order == "uniform":
            squares = {name: float((p - anchor[name]).double().square().sum()) for name, p in weights.items()}
            edited = sum(factors[name] ** 2 * square for name, square in squares.items())
            factors = dict.fromkeys(factors, math.sqrt(edited / (sum(squares.values()) or 1)))
        for name, p in weights.items():
            p.copy_(anchor[name].lerp(p, factors[name]))
