"""Joint training: after each task, retrain the pre-trained model on all tasks so far, an upper bound."""

from typing import final

from clbench.core.registry import STRATEGIES
from clbench.strategies._training.gradient import GradientConfig
from clbench.strategies._training.multi_task import BalanceConfig, MultiTaskStrategy


class JointConfig(BalanceConfig, GradientConfig):
    """Settings of `Joint`."""


@STRATEGIES.register("joint", config=JointConfig)
@final
class Joint(MultiTaskStrategy[JointConfig]):
    """Multi-task training on all tasks so far, the upper bound of most papers.

    At task t it starts from version 0 and makes as many steps as a sequential strategy has made by then:
    `budget.steps` for each of the t tasks, in random order, each batch from one task. So no task is trained less than
    by other strategies. In total it trains for t(t + 1)/2 instead of t tasks. Settings change the sampling of tasks and
    the weights of their losses: see `MultiTaskStrategy`.
    """

    @property
    def together(self) -> bool:
        """Always true."""
        return True
