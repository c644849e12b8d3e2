"""Sequential full fine-tuning: train all weights on each task, with no measure against forgetting."""

from typing import final

from clbench.core.registry import STRATEGIES
from clbench.strategies._training.gradient import GradientConfig, GradientStrategy


@STRATEGIES.register("finetune", config=GradientConfig)
@final
class Finetune(GradientStrategy[GradientConfig]):
    """Trains all weights on one task after another, the lower baseline of most papers."""

    takes_shards = True
