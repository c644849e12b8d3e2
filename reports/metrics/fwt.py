"""Forward transfer: what earlier tasks do to the score of a task that is still to come."""

import numpy as np

from clbench.core.registry import METRICS
from clbench.reports.matrix import ScoreMatrix, Scores
from clbench.reports.metrics._learning import Learning, Numbers, learning

NOTHING_LATER = "there is no later task to transfer to"


@METRICS.register("fwt.gem", direction="higher")
def gem_fwt(scores: ScoreMatrix) -> float:
    """Mean gain on each task, just before it is learnt, over the pre-trained version.

    Formula: mean over i > 1 of R[i-1][i] - R[0][i]
    Unit: that of the scores
    Direction: higher is better, negative where earlier tasks spoilt what the pre-trained version knew
    Source: Lopez-Paz and Ranzato 2017 (GEM), with b = R[0], the version before any training

    On a path with other updates: the version just before task i was learnt replaces i-1. The first task learnt is left
    out, also where other updates came before it, because no task was there to transfer from.

    Args:
        scores: R, versions x tasks; version 0 and the cells just above the diagonal must be complete but for task 1.

    Returns:
        The mean over all tasks but the first.

    Raises:
        MetricError: With a single task, or a missing cell.
    """
    found = learning(scores)
    later = _but_the_first(found)
    return float((_just_before(found, later) - found.path.measured(0, later)).mean())


@METRICS.register("fwt.continuum", direction="higher")
def continuum_fwt(scores: ScoreMatrix) -> float:
    """Mean score on each task just before it is learnt, whatever the pre-trained version scored.

    Formula: mean over i > 1 of R[i-1][i]
    Unit: that of the scores
    Direction: higher is better
    Source: Continuum's main branch (release 1.2.7 averages the cells below the diagonal instead)

    On a path with other updates: the version just before task i was learnt replaces i-1. The first task learnt is left
    out.

    Args:
        scores: R, versions x tasks; the cells just above the diagonal must be complete.

    Returns:
        The mean over all tasks but the first.

    Raises:
        MetricError: With a single task, or a missing cell.
    """
    found = learning(scores)
    return float(_just_before(found, _but_the_first(found)).mean())


def _but_the_first(found: Learning) -> Numbers:
    """The tasks 2..T."""
    found.path.require_two_tasks(NOTHING_LATER)
    return np.arange(2, len(found.learnt) + 1)


def _just_before(found: Learning, later: Numbers) -> Scores:
    """R[L(i) - 1][i] of some tasks i, shape (tasks,)."""
    return found.path.measured(found.just_learnt(later) - 1, later)
