"""Transfer, Average and Last: the three numbers of multi-domain task-incremental learning (MTIL, X-TAIL)."""

import numpy as np

from clbench.core.registry import METRICS
from clbench.reports.matrix import ScoreMatrix
from clbench.reports.metrics._learning import learning


@METRICS.register("mtil.transfer", direction="higher")
def mtil_transfer(scores: ScoreMatrix) -> float:
    """Mean score on tasks that are still to come: what is left of the pre-trained model's zero-shot ability.

    Formula: mean over i > 1 of (mean over 1 <= t < i of R[t][i]): first each task's mean, then the mean of these
    Unit: that of the scores
    Direction: higher is better
    Source: Zheng et al. 2023 (ZSCL), Transfer

    On a path with other updates: the mean over the tasks that some version came before, versions 1 to the one before
    the task was learnt. What compression leaves of the zero-shot ability counts, too.

    Args:
        scores: R, versions x tasks; all cells with 1 <= t < i must be there.

    Returns:
        The mean over the tasks with an earlier version but version 0: all but the first where tasks are learnt one
        after another.

    Raises:
        MetricError: Without such a task, or with a missing cell.
    """
    found = learning(scores)
    later = found.later("there is no later task to transfer to")
    pairs = zip(found.just_learnt(later), later, strict=True)
    return float(np.mean([found.path.measured(np.arange(1, learnt), task).mean() for learnt, task in pairs]))


@METRICS.register("mtil.average", direction="higher")
def mtil_average(scores: ScoreMatrix) -> float:
    """Mean score over all trained versions and all tasks, those still to come included.

    Formula: mean over i of (mean over t >= 1 of R[t][i])
    Unit: that of the scores
    Direction: higher is better
    Source: Zheng et al. 2023 (ZSCL), Avg.

    On a path with other updates: over all versions of the path but version 0, and the tasks learnt on it.

    Args:
        scores: R, versions x tasks; all rows but version 0 must be complete.

    Returns:
        The mean, also defined for a single task.

    Raises:
        MetricError: When a cell is missing.
    """
    found = learning(scores)
    versions, tasks = np.arange(1, found.last + 1), np.arange(1, len(found.learnt) + 1)
    return float(found.path.measured(versions[:, np.newaxis], tasks).mean(axis=0).mean())


@METRICS.register("mtil.last", direction="higher")
def mtil_last(scores: ScoreMatrix) -> float:
    """Mean score of the last version over all tasks.

    Formula: mean over i of R[T][i]
    Unit: that of the scores
    Direction: higher is better
    Source: Zheng et al. 2023 (ZSCL), Last; equals average_accuracy

    On a path with other updates: over the tasks learnt on it; over all tasks where none was learnt.

    Args:
        scores: R, versions x tasks; the last row must be complete.

    Returns:
        The mean, also defined for a single task.

    Raises:
        MetricError: When the last version was not tested on every task.
    """
    return float(scores.along(scores.last).last_scores().mean())
