"""Backward transfer: what later tasks do to the scores of earlier ones."""

import numpy as np

from clbench.core.registry import METRICS
from clbench.reports.matrix import ScoreMatrix, Scores

NOTHING_EARLIER = "there is no earlier task to transfer to"


@METRICS.register("bwt.gem", direction="higher")
def gem_bwt(scores: ScoreMatrix) -> float:
    """Mean change of each task's score from just after it was learnt to the last version.

    Formula: mean over i < T of R[T][i] - R[i][i]
    Unit: that of the scores
    Direction: higher is better, negative where tasks were forgotten
    Source: Lopez-Paz and Ranzato 2017 (GEM); so in Mammoth and Renate; equals -forgetting.avalanche

    Args:
        scores: R, versions x tasks; the diagonal and the last row must be complete for every task but the last.

    Returns:
        The mean over all tasks but the last.

    Raises:
        MetricError: With a single task, or a missing cell.
    """
    return float(_final_changes(scores).mean())


@METRICS.register("bwt.continuum", direction="higher")
def continuum_bwt(scores: ScoreMatrix) -> float:
    """Mean change of a task's score since it was learnt, over all later versions and not the last one alone.

    Formula: mean over all pairs t > i of R[t][i] - R[i][i]
    Unit: that of the scores
    Direction: higher is better, negative where tasks were forgotten
    Source: Diaz-Rodriguez et al. 2018; Continuum's main branch (release 1.2.7 leaves out the pairs t = i + 1 but
        divides by their number too)

    Args:
        scores: R, versions x tasks; the cells with t >= i must be complete.

    Returns:
        The mean over the T (T - 1) / 2 pairs.

    Raises:
        MetricError: With a single task, or a missing cell.
    """
    scores.require_two_tasks(NOTHING_EARLIER)
    version, task = np.tril_indices(scores.number_of_tasks, k=-1)
    return float((scores.cells(version + 1, task + 1) - scores.cells(task + 1, task + 1)).mean())


@METRICS.register("bwt.fusion_bench", direction="higher")
def fusion_bench_bwt(scores: ScoreMatrix) -> float:
    """Change of the tasks' scores from just after they were learnt to the last version, shared among all T tasks.

    Formula: (sum over i < T of R[T][i] - R[i][i]) / T
    Unit: that of the scores
    Direction: higher is better, negative where tasks were forgotten
    Source: FusionBench and SAPT; equals bwt.gem times (T - 1) / T, as the last task counts with a change of 0

    Args:
        scores: R, versions x tasks; the diagonal and the last row must be complete for every task but the last.

    Returns:
        The sum over all tasks but the last, divided by the number of all tasks.

    Raises:
        MetricError: With a single task, or a missing cell.
    """
    return float(_final_changes(scores).sum() / scores.number_of_tasks)


def _final_changes(scores: ScoreMatrix) -> Scores:
    """R[T][i] - R[i][i] for all tasks but the last, shape (T - 1,)."""
    scores.require_two_tasks(NOTHING_EARLIER)
    last = scores.number_of_tasks
    earlier = np.arange(1, last)
    return scores.cells(last, earlier) - scores.cells(earlier, earlier)
