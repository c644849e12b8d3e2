"""Learning accuracy: how well tasks were learnt, whatever became of them later."""

import numpy as np

from clbench.core.registry import METRICS
from clbench.reports.matrix import ScoreMatrix
from clbench.reports.metrics._learning import learning


@METRICS.register("learning_accuracy", direction="higher")
def learning_accuracy(scores: ScoreMatrix) -> float:
    """Mean score of each task just after it was learnt.

    Formula: mean over i of R[i][i]
    Unit: that of the scores
    Direction: higher is better
    Source: Riemer et al. 2019 (MER), Learning Accuracy

    On a path with other updates: the mean of R[L(i)][i], where version L(i) learnt task i.

    Args:
        scores: R, versions x tasks; the diagonal must be complete.

    Returns:
        The mean over the tasks learnt, also defined for a single task.

    Raises:
        MetricError: When no task was learnt, or with a missing cell.
    """
    found = learning(scores)
    tasks = np.arange(1, len(found.learnt) + 1)
    return float(found.path.measured(found.just_learnt(tasks), tasks).mean())
