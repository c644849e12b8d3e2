"""Intruder dimensions: shrink strong directions of the learnt weights that the anchor does not have."""

from collections.abc import Mapping
from typing import final

import torch
from pydantic import Field
from torch import Tensor, nn

from clbench.contracts import Task
from clbench.core.errors import ConfigError
from clbench.core.registry import EDITS
from clbench.strategies._parts.edit import Edit, EditConfig


class IntruderConfig(EditConfig):
    """Settings of `Intruder`; defaults are those of PEFT's `reduce_intruder_dimension`."""

    top_k: int = Field(10, ge=1, description="Number of the largest singular values that are looked at in a matrix.")
    threshold: float = Field(
        0.5,
        ge=0,
        le=1,
        description="A singular vector is an intruder if no cosine with one of the anchor reaches this.",
    )
    kept: float = Field(
        0.75, ge=0, le=1, description="Share of each intruder that stays (lambda): 1 changes nothing, 0 removes it."
    )


@EDITS.register("intruder", config=IntruderConfig)
@final
class Intruder(Edit[IntruderConfig]):
    """Shrinks intruders, which are strong directions that the anchor lacks (Shuttleworth et al. 2024).

    W <- W - (1 - kept) sum over intruders of s_i u_i v_i^T in every linear layer, W = U diag(s) V^T as learnt. u_i is
    an intruder if i < top_k and its largest |cosine| with a left singular vector of the anchor is below the threshold.
    This is the formula of PEFT's `reduce_intruder_dimension`; PEFT's text says that a higher lambda takes away more,
    but its formula keeps more. Deviation: PEFT cuts the change to the rank of an adapter; here W is dense and nothing
    is cut. In float64 on the CPU. Records `edit/intruders`.
    """

    def check(self, task: Task) -> None:
        """Refuse a learner without linear layers.

        Raises:
            ConfigError: For such a learner.
        """
        if not self.learner.linear_layers():
            raise ConfigError(f"edit intruder: learner {self.learner.name} has no linear layers")

    def apply(self, weights: Mapping[str, nn.Parameter], anchor: Mapping[str, Tensor]) -> None:
        """Shrink intruders in place."""
        names = [f"{layer.name}.weight" for layer in self.learner.linear_layers()]
        count = 0
        for name in (name for name in names if name in weights and not torch.equal(weights[name], anchor[name])):
            p, known = weights[name], torch.linalg.svd(anchor[name].cpu().double(), full_matrices=False).U
            u, s, vh = torch.linalg.svd(p.cpu().double(), full_matrices=False)
            likeness = (u[:, : self.config.top_k].T @ known).abs().amax(dim=1)
            found = (likeness < self.config.threshold).nonzero()[:, 0]
            p.sub_(((1 - self.config.kept) * (u[:, found] * s[found]) @ vh[found]).to(p))
            count += len(found)
        self.strategy.context.record("edit/intruders", count)
