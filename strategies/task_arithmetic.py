"""Task arithmetic: the scaled sum of the changes by fine-tuning on each task alone."""

from typing import final

from pydantic import Field

from clbench.core.registry import STRATEGIES
from clbench.strategies._merging.merge_strategy import MergeConfig, Merged, MergeStrategy, plain
from clbench.strategies._merging.task_vectors import Vectors, plus, scaled


class TaskArithmeticConfig(MergeConfig):
    """Settings of `TaskArithmetic`; `scale` is that of FusionBench's configuration."""

    scale: float = Field(0.3, gt=0, description="Factor lambda of every task vector.")
    divide: bool = Field(False, description="Divide the scale by the number of tasks so far.")


@STRATEGIES.register("task-arithmetic", config=TaskArithmeticConfig)
@final
class TaskArithmetic(MergeStrategy[TaskArithmeticConfig]):
    """theta_t = theta_(t-1) + lambda tau_t (Ilharco et al. 2023).

    The norm of the sum grows like the square root of t for task vectors that are orthogonal, and like t for equal ones.
    `divide: true` emits theta_0 + lambda / t times the sum instead; with scale 1 this is `weight-average`.
    """

    def combine(self, tau: Vectors, offset: Vectors) -> Merged:
        """The scaled sum of all task vectors so far.

        Args:
            tau: Task vector of the current task.
            offset: The scaled sum before the task.
        """
        scale, number = self.config.scale, len(self.seen)
        if self.config.divide:
            return plain(plus(scaled(offset, (number - 1) / number), tau, scale / number), tau)
        return plain(plus(offset, tau, scale), tau)
