"""Forgetting: how far the scores of earlier tasks fall; frameworks disagree on where the fall starts."""

import numpy as np

from clbench.core.registry import METRICS
from clbench.reports.matrix import ScoreMatrix, Scores

NOTHING_EARLIER = "there is no earlier task to forget"


@METRICS.register("forgetting.chaudhry", direction="lower")
def chaudhry_forgetting(scores: ScoreMatrix) -> float:
    """Mean drop from each task's best score before the last version to its score in the last one.

    Formula: mean over i < T of (max over 1 <= t < T of R[t][i]) - R[T][i]
    Unit: that of the scores
    Direction: lower is better, negative where the last task helped earlier ones
    Source: Chaudhry et al. 2018, Eq. 3; so in Renate and on Continuum's main branch (Continuum's release 1.2.7 stops a
        task and a version too early)

    Cells of versions before the task was learnt (t < i) take part in the maximum where they were measured, because
    frameworks that never test future tasks leave them empty. All later cells must be there.

    Args:
        scores: R, versions x tasks; the cells with t >= i must be complete for every task but the last.

    Returns:
        The mean over all tasks but the last.

    Raises:
        MetricError: With a single task, or a missing cell.
    """
    scores.require_two_tasks(NOTHING_EARLIER)
    last = scores.number_of_tasks
    final = scores.cells(last, np.arange(1, last))
    return float((_best(scores, last - 1) - final).mean())


@METRICS.register("forgetting.avalanche", direction="lower")
def avalanche_forgetting(scores: ScoreMatrix) -> float:
    """Mean drop from each task's score just after it was learnt to its score in the last version.

    Formula: mean over i < T of R[i][i] - R[T][i]
    Unit: that of the scores
    Direction: lower is better, negative where later tasks helped
    Source: Avalanche 0.6, `StreamForgetting`; equals -bwt.gem

    Args:
        scores: R, versions x tasks; the diagonal and the last row must be complete for every task but the last.

    Returns:
        The mean over all tasks but the last.

    Raises:
        MetricError: With a single task, or a missing cell.
    """
    scores.require_two_tasks(NOTHING_EARLIER)
    last = scores.number_of_tasks
    earlier = np.arange(1, last)
    return float((scores.cells(earlier, earlier) - scores.cells(last, earlier)).mean())


@METRICS.register("forgetting.mammoth", direction="lower")
def mammoth_forgetting(scores: ScoreMatrix) -> float:
    """Mean drop from each task's best score in any version, the last one included, to its score in the last one.

    Formula: mean over i < T of (max over 1 <= t <= T of R[t][i]) - R[T][i]
    Unit: that of the scores
    Direction: lower is better, never negative: a task that got better counts as 0
    Source: Mammoth, `utils/metrics.py`; PILOT, `trainer.py`

    Cells of versions before the task was learnt (t < i) take part in the maximum where they were measured, because
    frameworks that never test future tasks leave them empty. All later cells must be there. Mammoth and PILOT put 0
    into the empty cells instead, which differs only where all scores of a task are negative.

    Args:
        scores: R, versions x tasks; the cells with t >= i must be complete for every task but the last.

    Returns:
        The mean over all tasks but the last.

    Raises:
        MetricError: With a single task, or a missing cell.
    """
    scores.require_two_tasks(NOTHING_EARLIER)
    last = scores.number_of_tasks
    final = scores.cells(last, np.arange(1, last))
    return float((_best(scores, last) - final).mean())


def _best(scores: ScoreMatrix, until: int) -> Scores:
    """Best score of each task but the last in versions 1..until, shape (T - 1,)."""
    version, task = np.tril_indices(until)
    earlier = task + 1 < scores.number_of_tasks
    scores.cells(version[earlier] + 1, task[earlier] + 1)  # these must be there; what comes before may be empty
    return np.asarray(np.nanmax(scores.scores[1 : until + 1, :-1], axis=0))
