"""Joint training: after each task, train on all tasks so far from the pre-trained model. The upper bound."""

from typing import final

from clbench.core.registry import STRATEGIES
from clbench.strategies._training.gradient import GradientConfig
from clbench.strategies._training.multi_task import BalanceConfig, MultiTaskStrategy


class JointConfig(BalanceConfig, GradientConfig):
    """Settings of `Joint`."""


@STRATEGIES.register("joint", config=JointConfig)
@final
class Joint(MultiTaskStrategy[JointConfig]):
    """Multi-task training that ignores the order of arrival (the upper bound of most papers).

    After task t it starts again from version 0 and spends what a sequential strategy has spent by then: `budget.steps`
    for each of the t tasks, shuffled, one task a batch. So no task is trained less than elsewhere and none is ever out
    of sight; the price is t(t + 1)/2 instead of t tasks' worth of training. Settings draw tasks by their size, or weigh
    their losses: see `MultiTaskStrategy`.
    """

    @property
    def together(self) -> bool:
        """Always."""
        return True
