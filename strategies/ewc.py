"""Elastic weight consolidation: moving a weight costs what it mattered for earlier tasks."""

from typing import Any, Literal, final

from pydantic import Field

from clbench.core.registry import STRATEGIES
from clbench.strategies._avalanche.avalanche_strategy import AvalancheConfig, AvalancheStrategy


class EwcConfig(AvalancheConfig):
    """Settings of `Ewc`."""

    strength: float = Field(
        1e4,
        ge=0,
        description="Weight of the penalty (lambda). Large, because importances are squares of small gradients.",
    )
    mode: Literal["online", "separate"] = Field(
        "online", description="One running penalty, or one for each earlier task (time and memory grow with each)."
    )
    decay: float = Field(1.0, gt=0, le=1, description="What is left of old importances after a task; online mode only.")


@STRATEGIES.register("ewc", config=EwcConfig)
@final
class Ewc(AvalancheStrategy[EwcConfig]):
    """Adds lambda * sum F (theta - theta_old)^2 to the loss (Kirkpatrick et al. 2017; Schwarz et al. 2018).

    After each task Avalanche's `EWCPlugin` passes once over its training samples, not augmented, for the importances F.
    They are squares of the gradient of a *batch's* mean loss, smaller than the Fisher information of single samples,
    so a strength from the literature may have to be larger here. There is no factor 1/2.
    """

    carried = ("saved_params", "importances")

    def plugins(self) -> list[Any]:
        """Avalanche's `EWCPlugin`."""
        from avalanche.training.plugins import EWCPlugin

        online = self.config.mode == "online"
        return [EWCPlugin(self.config.strength, self.config.mode, self.config.decay if online else None)]
