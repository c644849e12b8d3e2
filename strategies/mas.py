"""Memory aware synapses: importance of a weight is how much it moves the outputs, labels not needed."""

from typing import Any, final

from pydantic import Field

from clbench.core.registry import STRATEGIES
from clbench.strategies._avalanche.avalanche_strategy import AvalancheConfig, AvalancheStrategy


class MasConfig(AvalancheConfig):
    """Settings of `Mas`."""

    strength: float = Field(1.0, ge=0, description="Weight of the penalty (lambda).")
    alpha: float = Field(0.5, ge=0, le=1, description="Share of old importances in the average with new ones.")


@STRATEGIES.register("mas", config=MasConfig)
@final
class Mas(AvalancheStrategy[MasConfig]):
    """Adds lambda * sum Omega (theta - theta_old)^2 to the loss (Aljundi et al. 2018, Eq. 4), by Avalanche.

    Omega is the mean absolute gradient of the squared norm of a batch's logits, over one more pass over the task's
    training samples. They are augmented in it, because `MASPlugin` leaves the model in training mode. The logits of
    other tasks' classes are 0 in it, so that Omega is about the task's own classes.
    """

    carried = ("params", "importance")

    def plugins(self) -> list[Any]:
        """Avalanche's `MASPlugin`."""
        from avalanche.training.plugins import MASPlugin

        return [MASPlugin(self.config.strength, self.config.alpha)]
