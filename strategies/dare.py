"""DARE: task arithmetic on task vectors of which most entries are dropped at random."""

from typing import final

from pydantic import Field

from clbench.core.registry import STRATEGIES
from clbench.strategies._merging.merge_strategy import MergeConfig, Merged, MergeStrategy
from clbench.strategies._merging.random_drop import drop_and_rescale
from clbench.strategies._merging.task_vectors import Vectors, dot, plus, scaled


class DareConfig(MergeConfig):
    """Settings of `Dare`: `p` of the authors' examples for one model, `scale` of task arithmetic."""

    p: float = Field(0.9, ge=0, lt=1, description="Probability with which an entry of a task vector is dropped.")
    scale: float = Field(0.3, gt=0, description="Factor lambda of every task vector.")


@STRATEGIES.register("dare", config=DareConfig)
@final
class Dare(MergeStrategy[DareConfig]):
    """theta_t = theta_(t-1) + lambda mask * tau_t / (1 - p) (Yu et al. 2024), each entry with a mask of its own.

    The expectation is task arithmetic. The variance of an entry is p / (1 - p) times its square, 9 times at p = 0.9.
    The mask depends on the cell's seed, the version and the task. `merge/kept` is the share of ||tau||^2 in the entries
    that stay.
    """

    def combine(self, tau: Vectors, offset: Vectors) -> Merged:
        """The scaled sum of the thinned task vectors so far.

        Args:
            tau: Task vector of the current task.
            offset: The scaled sum before the task.
        """
        p = self.config.p
        thinned = drop_and_rescale(tau, p, self.generator_of("dropped"))
        kept = scaled(thinned, 1 - p)
        return Merged(plus(offset, thinned, self.config.scale), dot(kept, kept), {})
