"""Forgetting: how far the scores of earlier tasks fall; frameworks disagree on where the fall starts."""

import numpy as np

from clbench.core.registry import METRICS
from clbench.reports.matrix import ScoreMatrix, Scores
from clbench.reports.metrics._learning import Learning, Numbers, learning

NOTHING_EARLIER = "there is no earlier task to forget"


@METRICS.register("forgetting.chaudhry", direction="lower")
def chaudhry_forgetting(scores: ScoreMatrix) -> float:
    """Mean drop from each task's best score before the last version to its score in the last one.

    Formula: mean over i < T of (max over 1 <= t < T of R[t][i]) - R[T][i]
    Unit: that of the scores
    Direction: lower is better, negative where the last task helped earlier ones
    Source: Chaudhry et al. 2018, Eq. 3; so in Renate and on Continuum's main branch (Continuum's release 1.2.7 stops a
        task and a version too early)

    On a path with other updates: the mean over the tasks i learnt before the last version N of (max over 1 <= t < N of
    R[t][i]) - R[N][i]. A fall by compression counts as forgetting, and a score after it may be the best.

    Cells of versions before the task was learnt take part in the maximum where they were measured, because
    frameworks that never test future tasks leave them empty. All later cells must be there.

    Args:
        scores: R, versions x tasks; the cells with t >= i must be complete for every task but the last.

    Returns:
        The mean over the tasks learnt before the last version.

    Raises:
        MetricError: Without a task that was learnt before the last version, or with a missing cell.
    """
    found = learning(scores)
    earlier = found.earlier(NOTHING_EARLIER)
    final = found.path.measured(found.last, earlier)
    return float((_best(found, earlier, found.last - 1) - final).mean())


@METRICS.register("forgetting.avalanche", direction="lower")
def avalanche_forgetting(scores: ScoreMatrix) -> float:
    """Mean drop from each task's score just after it was learnt to its score in the last version.

    Formula: mean over i < T of R[i][i] - R[T][i]
    Unit: that of the scores
    Direction: lower is better, negative where later tasks helped
    Source: Avalanche 0.6, `StreamForgetting`; equals -bwt.gem

    On a path with other updates: the mean of R[L(i)][i] - R[N][i] over the tasks i that were learnt before the last
    version N, where version L(i) learnt task i.

    Args:
        scores: R, versions x tasks; the diagonal and the last row must be complete for every task but the last.

    Returns:
        The mean over the tasks learnt before the last version.

    Raises:
        MetricError: Without a task that was learnt before the last version, or with a missing cell.
    """
    found = learning(scores)
    earlier = found.earlier(NOTHING_EARLIER)
    since = found.path.measured(found.just_learnt(earlier), earlier)
    return float((since - found.path.measured(found.last, earlier)).mean())


@METRICS.register("forgetting.mammoth", direction="lower")
def mammoth_forgetting(scores: ScoreMatrix) -> float:
    """Mean drop from each task's best score in any version, the last one included, to its score in the last one.

    Formula: mean over i < T of (max over 1 <= t <= T of R[t][i]) - R[T][i]
    Unit: that of the scores
    Direction: lower is better, never negative: a task that got better counts as 0
    Source: Mammoth, `utils/metrics.py`; PILOT, `trainer.py`

    On a path with other updates: the mean over the tasks i learnt before the last version N of (max over 1 <= t <= N of
    R[t][i]) - R[N][i].

    Cells of versions before the task was learnt take part in the maximum where they were measured, because
    frameworks that never test future tasks leave them empty. All later cells must be there. Mammoth and PILOT put 0
    into the empty cells instead, which differs only where all scores of a task are negative.

    Args:
        scores: R, versions x tasks; the cells with t >= i must be complete for every task but the last.

    Returns:
        The mean over the tasks learnt before the last version.

    Raises:
        MetricError: Without a task that was learnt before the last version, or with a missing cell.
    """
    found = learning(scores)
    earlier = found.earlier(NOTHING_EARLIER)
    final = found.path.measured(found.last, earlier)
    return float((_best(found, earlier, found.last) - final).mean())


def _best(found: Learning, tasks: Numbers, until: int) -> Scores:
    """Best score of each of some tasks in versions 1..until, shape (tasks,)."""
    versions = np.arange(1, until + 1)
    version, task = np.nonzero(versions[:, np.newaxis] >= found.just_learnt(tasks))
    found.path.measured(versions[version], tasks[task])  # these must be there; what comes before may be empty
    return np.asarray(np.nanmax(found.path.scores[1 : until + 1, tasks - 1], axis=0))
