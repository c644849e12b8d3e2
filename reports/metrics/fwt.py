"""Forward transfer: what earlier tasks do to the score of a task that is still to come."""

import numpy as np

from clbench.core.registry import METRICS
from clbench.reports.matrix import ScoreMatrix, Scores

NOTHING_LATER = "there is no later task to transfer to"


@METRICS.register("fwt.gem", direction="higher")
def gem_fwt(scores: ScoreMatrix) -> float:
    """Mean gain on each task, just before it is learnt, over the pre-trained version.

    Formula: mean over i > 1 of R[i-1][i] - R[0][i]
    Unit: that of the scores
    Direction: higher is better, negative where earlier tasks spoilt what the pre-trained version knew
    Source: Lopez-Paz and Ranzato 2017 (GEM), with b = R[0], the version before any training

    Args:
        scores: R, versions x tasks; version 0 and the cells just above the diagonal must be complete but for task 1.

    Returns:
        The mean over all tasks but the first.

    Raises:
        MetricError: With a single task, or a missing cell.
    """
    before = _just_before(scores)
    return float((before - scores.cells(0, np.arange(2, scores.number_of_tasks + 1))).mean())


@METRICS.register("fwt.continuum", direction="higher")
def continuum_fwt(scores: ScoreMatrix) -> float:
    """Mean score on each task just before it is learnt, whatever the pre-trained version scored.

    Formula: mean over i > 1 of R[i-1][i]
    Unit: that of the scores
    Direction: higher is better
    Source: Continuum's main branch (release 1.2.7 averages the cells below the diagonal instead)

    Args:
        scores: R, versions x tasks; the cells just above the diagonal must be complete.

    Returns:
        The mean over all tasks but the first.

    Raises:
        MetricError: With a single task, or a missing cell.
    """
    return float(_just_before(scores).mean())


def _just_before(scores: ScoreMatrix) -> Scores:
    """R[i-1][i] for all tasks but the first, shape (T - 1,)."""
    scores.require_two_tasks(NOTHING_LATER)
    later = np.arange(2, scores.number_of_tasks + 1)
    return scores.cells(later - 1, later)
