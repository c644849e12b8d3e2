"""Weight average: the mean of the weights that were fine-tuned on each task alone."""

from typing import final

from clbench.core.registry import STRATEGIES
from clbench.strategies._merging.merge_strategy import MergeConfig, Merged, MergeStrategy, plain
from clbench.strategies._merging.task_vectors import Vectors, plus, scaled


@STRATEGIES.register("weight-average", config=MergeConfig)
@final
class WeightAverage(MergeStrategy[MergeConfig]):
    """theta_t = ((t - 1) theta_(t-1) + phi_t) / t, a running mean (baseline of Tang et al. 2025).

    phi_t are the weights after fine-tuning version 0 on task t. The order of tasks does not matter, up to round-off.
    """

    def combine(self, tau: Vectors, offset: Vectors) -> Merged:
        """The mean of all task vectors so far.

        Args:
            tau: Task vector of the current task.
            offset: The mean before the task.
        """
        number = len(self.seen)
        return plain(scaled(plus(tau, offset, number - 1), 1 / number), tau)
