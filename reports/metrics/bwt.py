"""Backward transfer: what later tasks do to the scores of earlier ones."""

import numpy as np

from clbench.core.registry import METRICS
from clbench.reports.matrix import ScoreMatrix, Scores
from clbench.reports.metrics._learning import learning

NOTHING_EARLIER = "there is no earlier task to transfer to"


@METRICS.register("bwt.gem", direction="higher")
def gem_bwt(scores: ScoreMatrix) -> float:
    """Mean change of each task's score from just after it was learnt to the last version.

    Formula: mean over i < T of R[T][i] - R[i][i]
    Unit: that of the scores
    Direction: higher is better, negative where tasks were forgotten
    Source: Lopez-Paz and Ranzato 2017 (GEM); so in Mammoth and Renate; equals -forgetting.avalanche

    On a path with other updates: the mean of R[N][i] - R[L(i)][i] over the tasks i that were learnt before the last
    version N, where version L(i) learnt task i. A change by compression or by a release counts, too.

    Args:
        scores: R, versions x tasks; the diagonal and the last row must be complete for every task but the last.

    Returns:
        The mean over the tasks learnt before the last version.

    Raises:
        MetricError: Without a task that was learnt before the last version, or with a missing cell.
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

    On a path with other updates: the mean over all pairs of a task i and a version t > L(i) of the path, where version
    L(i) learnt task i.

    Args:
        scores: R, versions x tasks; the cells with t >= i must be complete.

    Returns:
        The mean over the pairs, T (T - 1) / 2 where tasks are learnt one after another.

    Raises:
        MetricError: Without a task that was learnt before the last version, or with a missing cell.
    """
    found = learning(scores)
    found.earlier(NOTHING_EARLIER)
    versions = np.arange(1, found.last + 1)
    later, task = np.nonzero(versions[:, np.newaxis] > found.learnt)
    task += 1
    now = found.path.measured(versions[later], task)
    return float((now - found.path.measured(found.just_learnt(task), task)).mean())


@METRICS.register("bwt.fusion_bench", direction="higher")
def fusion_bench_bwt(scores: ScoreMatrix) -> float:
    """Change of the tasks' scores from just after they were learnt to the last version, shared among all T tasks.

    Formula: (sum over i < T of R[T][i] - R[i][i]) / T
    Unit: that of the scores
    Direction: higher is better, negative where tasks were forgotten
    Source: FusionBench and SAPT; equals bwt.gem times (T - 1) / T, as the last task counts with a change of 0

    On a path with other updates: the sum of R[N][i] - R[L(i)][i] over the tasks i that were learnt before the last
    version N, divided by the number of tasks learnt on the path.

    Args:
        scores: R, versions x tasks; the diagonal and the last row must be complete for every task but the last.

    Returns:
        The sum over the tasks learnt before the last version, divided by the number of tasks.

    Raises:
        MetricError: Without a task that was learnt before the last version, or with a missing cell.
    """
    return float(_final_changes(scores).sum() / len(learning(scores).learnt))


def _final_changes(scores: ScoreMatrix) -> Scores:
    """R[N][i] - R[L(i)][i] for the tasks learnt before the last version N, shape (tasks,)."""
    found = learning(scores)
    earlier = found.earlier(NOTHING_EARLIER)
    return found.path.measured(found.last, earlier) - found.path.measured(found.just_learnt(earlier), earlier)
