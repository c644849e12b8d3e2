"""Learning without forgetting: the previous version teaches the classes of earlier tasks on the new samples."""

from typing import Any, final

from pydantic import Field

from clbench.core.registry import STRATEGIES
from clbench.strategies._avalanche.avalanche_strategy import AvalancheConfig, AvalancheStrategy


class LwfConfig(AvalancheConfig):
    """Settings of `Lwf`."""

    strength: float = Field(10.0, ge=0, description="Weight of the distillation loss (alpha).")
    temperature: float = Field(2.0, gt=0, description="Softens teacher and student alike.")


@STRATEGIES.register("lwf", config=LwfConfig)
@final
class Lwf(AvalancheStrategy[LwfConfig]):
    """Distils the previous version's softmax over all earlier classes, on new samples (Li & Hoiem 2016), by Avalanche.

    Teacher and student see the same random crop. All earlier classes compete in one softmax, as `LwFPlugin` has it for
    a model with one head. Every step scores all classes seen, twice, so steps get slower with each task.
    """

    scope = "seen"
    carried = ("lwf.prev_model", "lwf.prev_classes_by_task", "lwf.expcount")

    def plugins(self) -> list[Any]:
        """Avalanche's `LwFPlugin`."""
        from avalanche.training.plugins import LwFPlugin

        return [LwFPlugin(self.config.strength, self.config.temperature)]
