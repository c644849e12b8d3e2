"""Elastic weight consolidation: a quadratic penalty on changes of weights, by their importance for earlier tasks."""

from typing import Any, Literal, final

from pydantic import Field

from clbench.core.registry import STRATEGIES
from clbench.strategies._avalanche.avalanche_strategy import AvalancheConfig, AvalancheStrategy


class EwcConfig(AvalancheConfig):
    """Settings of `Ewc`; `strength` is ours, see also `AvalancheConfig`."""

    strength: float = Field(
        1e4,
        ge=0,
        description="Weight of the penalty (lambda), large because importances are squares of small gradients.",
    )
    mode: Literal["online", "separate"] = Field(
        "online", description="One running penalty, or one for each earlier task, with growing time and memory."
    )
    decay: float = Field(1.0, gt=0, le=1, description="Factor of old importances after each task; online mode only.")


@STRATEGIES.register("ewc", config=EwcConfig)
@final
class Ewc(AvalancheStrategy[EwcConfig]):
    """Adds lambda * sum F (theta - theta_old)^2 to the loss (Kirkpatrick et al. 2017; Schwarz et al. 2018).

    After each task Avalanche's `EWCPlugin` computes the importances F in one pass over its training samples, without
    augmentation. Deviation: F are squared gradients of the mean loss of a *batch*. They are smaller than the Fisher
    information of single samples, so a strength from the literature may be too small here. There is no factor 1/2.
    """

    carried = ("saved_params", "importances")

    def plugins(self) -> list[Any]:
        """Avalanche's `EWCPlugin`."""
        from avalanche.training.plugins import EWCPlugin

        online = self.config.mode == "online"
        return [EWCPlugin(self.config.strength, self.config.mode, self.config.decay if online else None)]
