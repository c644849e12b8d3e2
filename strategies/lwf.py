"""Learning without forgetting: distil the previous version over earlier classes, on samples of the new task."""

from typing import Any, final

from pydantic import Field

from clbench.core.registry import STRATEGIES
from clbench.strategies._avalanche.avalanche_strategy import AvalancheConfig, AvalancheStrategy


class LwfConfig(AvalancheConfig):
    """Settings of `Lwf`; `strength` is ours, see also `AvalancheConfig`."""

    strength: float = Field(10.0, ge=0, description="Weight of the distillation loss (alpha).")
    temperature: float = Field(2.0, gt=0, description="Temperature of teacher and student.")


@STRATEGIES.register("lwf", config=LwfConfig)
@final
class Lwf(AvalancheStrategy[LwfConfig]):
    """Distils the previous version's softmax over all earlier classes, on new samples (Li & Hoiem 2016), by Avalanche.

    Teacher and student see the same random crop. Deviation: all earlier classes share one softmax, which is the
    behaviour of `LwFPlugin` for a model with one head; the paper has one softmax for each earlier task. Each step
    scores all classes seen, twice, so steps get slower with each task.
    """

    scope = "seen"
    carried = ("lwf.prev_model", "lwf.prev_classes_by_task", "lwf.expcount")

    def plugins(self) -> list[Any]:
        """Avalanche's `LwFPlugin`."""
        from avalanche.training.plugins import LwFPlugin

        return [LwFPlugin(self.config.strength, self.config.temperature)]
