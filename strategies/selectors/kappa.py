"""Layers whose singular values are most even move."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal, cast, final

import torch
from pydantic import Field
from torch import Tensor

from clbench.contracts import Task
from clbench.core.registry import SELECTORS
from clbench.strategies._parts.part import Trained
from clbench.strategies._parts.selector import FixedSelector, FixedSelectorConfig, Masks

EPS = 1e-8


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


@torch.no_grad()
def condition_number(weight: Tensor) -> float:
    """s_max / (s_min + 1e-8) of a matrix, in float64."""
    values = torch.linalg.svdvals(weight.detach().double())
    return float(values[0] / (values[-1] + EPS))


def lowest(weights: Mapping[str, Tensor], share: float, within_shape: bool) -> list[str]:
    """Names of the matrices with the lowest condition numbers, ascending.

    Args:
        weights: Matrices by name.
        share: Share of them, rounded down; at least one.
        within_shape: Whether to rank by the quantile among matrices of the same shape; ties by condition number.
    """
    found = {name: condition_number(weight) for name, weight in weights.items()}
    order = sorted(found, key=found.__getitem__)
    if within_shape:
        sizes = Counter(weight.shape for weight in weights.values())
        ranks: dict[torch.Size, int] = defaultdict(int)
        quantiles = {}
        for name in order:
            shape = weights[name].shape
            quantiles[name] = (ranks[shape] + 0.5) / sizes[shape]
            ranks[shape] += 1
        order.sort(key=quantiles.__getitem__)
    return order[: max(1, int(share * len(order) + EPS))]
