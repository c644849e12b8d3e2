"""Memory aware synapses: a penalty on changes of weights, by the sensitivity of outputs to them, without labels."""

from typing import Any, final

from pydantic import Field

from clbench.core.registry import STRATEGIES
from clbench.strategies._avalanche.avalanche_strategy import AvalancheConfig, AvalancheStrategy


class MasConfig(AvalancheConfig):
    """Settings of `Mas`; see `AvalancheConfig` for what is not the authors'."""

    strength: float = Field(1.0, ge=0, description="Weight of the penalty (lambda).")
    alpha: float = Field(0.5, ge=0, le=1, description="Weight of old importances in the average with new ones.")


@STRATEGIES.register("mas", config=MasConfig)
@final
class Mas(AvalancheStrategy[MasConfig]):
    """Adds lambda * sum Omega (theta - theta_old)^2 to the loss (Aljundi et al. 2018, Eq. 4), by Avalanche.

    Omega is the mean absolute gradient of the squared norm of a batch's logits, over an additional pass over the task's
    training samples. In this pass samples are augmented, because `MASPlugin` leaves the model in training mode, and
    logits of other tasks' classes are 0, so Omega measures the task's own classes.
    """

    carried = ("params", "importance")

    def plugins(self) -> list[Any]:
        """Avalanche's `MASPlugin`."""
        from avalanche.training.plugins import MASPlugin

        return [MASPlugin(self.config.strength, self.config.alpha)]
