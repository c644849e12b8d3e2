"""Layers whose singular values are most even move."""

from collections.abc import Sequence
from typing import Literal, cast, final

from pydantic import Field
from torch import Tensor

from clbench.contracts import Task
from clbench.core.registry import SELECTORS
from clbench.strategies._parts.condition_numbers import lowest
from clbench.strategies._parts.part import Trained
from clbench.strategies._parts.selector import FixedSelector, FixedSelectorConfig, Masks


class KappaConfig(FixedSelectorConfig):
    """Settings of `Kappa`; `share` is that of PEFT's helper."""

    share: float = Field(0.2, gt=0, le=1, description="Share of the layers that move, at least one.")
    within: Literal["model", "shape"] = Field(
        "model", description="Rank condition numbers among all layers, or among layers of the same shape."
    )


@SELECTORS.register("kappa", config=KappaConfig)
@final
class Kappa(FixedSelector[KappaConfig]):
    """KappaTune: the layers whose weights have the smallest condition numbers, which are taken to be least specialised.

    kappa(W) = s_max / (s_min + 1e-8) in float64. The weights of the chosen layers move whole, or their adapters; all
    other parameters are frozen. The condition number depends on the shape of a matrix: in our shipped models the lowest
    fifth are layers of MLPs only. So `within: shape` ranks among equal shapes and takes the same share of each, and the
    control is `random` with `like` and `among: shape`. For a matrix without full rank the number means nothing.
    """

    def choose(self, trained: Sequence[Trained], task: Task) -> Masks:
        """The weights or adapters of the chosen layers."""
        items = [item for item in trained if item.layer is not None and (item.is_matrix or not item.own)]
        names = dict.fromkeys(item.layer.name for item in items if item.layer is not None)
        weights = {name: cast(Tensor, self.learner.module.get_submodule(name).weight) for name in names}
        chosen = lowest(weights, self.config.share, self.config.within == "shape")
        return {item.name: None for item in items if item.layer is not None and item.layer.name in chosen}
