"""The linear layers that a strategy adapts, chosen by the role and tower that the learner gives them."""

from typing import Literal

from pydantic import Field

from clbench.contracts import Learner, LinearLayer
from clbench.core.errors import ConfigError
from clbench.strategies._training.gradient import GradientConfig

Role = Literal["q", "k", "v", "out", "gate", "up", "down", "cross_q", "cross_k", "cross_v", "cross_out", "other"]
BLOCK: tuple[Role, ...] = ("q", "k", "v", "out", "up", "down", "gate")
CROSS: tuple[Role, ...] = ("cross_q", "cross_k", "cross_v", "cross_out")


class AdapterConfig(GradientConfig):
    """Settings of every strategy that adapts linear layers; by default all projections of transformer blocks."""

    roles: tuple[Role, ...] = Field((*BLOCK, *CROSS), min_length=1, description="Which projections get an adapter.")
    towers: tuple[str, ...] = Field((), description="Encoders that get adapters (`vision`, `text`); all when empty.")


def chosen_layers(learner: Learner, config: AdapterConfig) -> tuple[LinearLayer, ...]:
    """The learner's layers of the chosen roles and towers, in the learner's order.

    Raises:
        ConfigError: When the learner has no such layer.
    """
    chosen = tuple(
        layer
        for layer in learner.linear_layers()
        if layer.role in config.roles and (not config.towers or layer.tower in config.towers)
    )
    if not chosen:
        wanted = f"roles {config.roles} in towers {config.towers or 'any'}"
        raise ConfigError(f"adapters: {learner.name} has no linear layer with {wanted}")
    return chosen
