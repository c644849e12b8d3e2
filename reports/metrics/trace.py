"""The two numbers of TRACE, a benchmark of language models that learn eight tasks in a row."""

from clbench.core.registry import METRICS
from clbench.reports.matrix import ScoreMatrix
from clbench.reports.metrics._learning import learning


@METRICS.register("trace.op", direction="higher")
def trace_overall_performance(scores: ScoreMatrix) -> float:
    """Overall performance: mean score of the last version over all tasks, each in the unit of its own metric.

    Formula: mean over i of R[T][i]
    Unit: that of the scores
    Direction: higher is better
    Source: Wang et al. 2023 (TRACE), OP; equals average_accuracy

    On a path with other updates: over the tasks learnt on it.

    Args:
        scores: R, versions x tasks; the last row must be complete.

    Returns:
        The mean, also defined for a single task.

    Raises:
        MetricError: When no task was learnt, or the last version was not tested on every task.
    """
    return float(learning(scores).path.last_scores().mean())


@METRICS.register("trace.bwt", direction="higher")
def trace_backward_transfer(scores: ScoreMatrix) -> float:
    """Mean change of each task's score from just after it was learnt to the last version.

    Formula: mean over i < T of R[T][i] - R[i][i]
    Unit: that of the scores
    Direction: higher is better, negative where tasks were forgotten
    Source: Wang et al. 2023 (TRACE), BWT; equals bwt.gem

    On a path with other updates: over the tasks learnt before its last version, as bwt.gem.

    Args:
        scores: R, versions x tasks; the diagonal and the last row must be complete for every task but the last.

    Returns:
        The mean over the tasks learnt before the last version.

    Raises:
        MetricError: Without a task that was learnt before the last version, or with a missing cell.
    """
    found = learning(scores)
    earlier = found.earlier("there is no earlier task to transfer to")
    now = found.path.measured(found.last, earlier)
    return float((now - found.path.measured(found.just_learnt(earlier), earlier)).mean())
