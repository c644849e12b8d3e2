"""Transfer, Average and Last: the three numbers of multi-domain task-incremental learning (MTIL, X-TAIL)."""

import numpy as np

from clbench.core.registry import METRICS
from clbench.reports.matrix import ScoreMatrix


@METRICS.register("mtil.transfer", direction="higher")
def mtil_transfer(scores: ScoreMatrix) -> float:
    """Mean score on tasks that are still to come: what is left of the pre-trained model's zero-shot ability.

    Formula: mean over i > 1 of (mean over 1 <= t < i of R[t][i]): first each task's mean, then the mean of these
    Unit: that of the scores
    Direction: higher is better
    Source: Zheng et al. 2023 (ZSCL), Transfer

    Args:
        scores: R, versions x tasks; all cells with 1 <= t < i must be there.

    Returns:
        The mean over all tasks but the first, which has no earlier version.

    Raises:
        MetricError: With a single task, or a missing cell.
    """
    scores.require_two_tasks("there is no later task to transfer to")
    later = range(2, scores.number_of_tasks + 1)
    return float(np.mean([scores.cells(np.arange(1, task), task).mean() for task in later]))


@METRICS.register("mtil.average", direction="higher")
def mtil_average(scores: ScoreMatrix) -> float:
    """Mean score over all trained versions and all tasks, those still to come included.

    Formula: mean over i of (mean over t >= 1 of R[t][i])
    Unit: that of the scores
    Direction: higher is better
    Source: Zheng et al. 2023 (ZSCL), Avg.

    Args:
        scores: R, versions x tasks; all rows but version 0 must be complete.

    Returns:
        The mean, also defined for a single task.

    Raises:
        MetricError: When a cell is missing.
    """
    tasks = np.arange(1, scores.number_of_tasks + 1)
    return float(scores.cells(tasks[:, np.newaxis], tasks).mean(axis=0).mean())


@METRICS.register("mtil.last", direction="higher")
def mtil_last(scores: ScoreMatrix) -> float:
    """Mean score of the last version over all tasks.

    Formula: mean over i of R[T][i]
    Unit: that of the scores
    Direction: higher is better
    Source: Zheng et al. 2023 (ZSCL), Last; equals average_accuracy

    Args:
        scores: R, versions x tasks; the last row must be complete.

    Returns:
        The mean, also defined for a single task.

    Raises:
        MetricError: When the last version was not tested on every task.
    """
    return float(scores.last_scores().mean())
