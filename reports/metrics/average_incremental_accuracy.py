"""Average incremental accuracy: what was learnt and what was kept, over all versions."""

import numpy as np

from clbench.core.registry import METRICS
from clbench.reports.matrix import ScoreMatrix
from clbench.reports.metrics._learning import learning


@METRICS.register("average_incremental_accuracy", direction="higher")
def average_incremental_accuracy(scores: ScoreMatrix) -> float:
    """Mean over the versions of the mean score over the tasks that a version has learnt.

    Formula: mean over t of the mean over i <= t of R[t][i]
    Unit: that of the scores
    Direction: higher is better
    Source: Rebuffi et al. 2017 (iCaRL), average incremental accuracy

    It counts what was learnt and what was kept, and reads no score of a task before it was learnt. On a path with other
    updates: the mean over the versions t of the path, from the first that learnt a task on, over the tasks learnt by t.

    Args:
        scores: R, versions x tasks; the cells with t >= i must be complete.

    Returns:
        The mean, also defined for a single task.

    Raises:
        MetricError: When no task was learnt, or with a missing cell.
    """
    found = learning(scores)
    versions = range(int(found.learnt.min()), found.last + 1)
    seen = [np.flatnonzero(found.learnt <= version) + 1 for version in versions]
    means = [found.path.measured(version, tasks).mean() for version, tasks in zip(versions, seen, strict=True)]
    return float(np.mean(means))
