"""The two numbers of TRACE, a benchmark of language models that learn eight tasks in a row."""

import numpy as np

from clbench.core.registry import METRICS
from clbench.reports.matrix import ScoreMatrix


@METRICS.register("trace.op", direction="higher")
def trace_overall_performance(scores: ScoreMatrix) -> float:
    """Overall performance: mean score of the last version over all tasks, each in the unit of its own metric.

    Formula: mean over i of R[T][i]
    Unit: that of the scores
    Direction: higher is better
    Source: Wang et al. 2023 (TRACE), OP; equals average_accuracy

    Args:
        scores: R, versions x tasks; the last row must be complete.

    Returns:
        The mean, also defined for a single task.

    Raises:
        MetricError: When the last version was not tested on every task.
    """
    last = scores.number_of_tasks
    return float(scores.cells(last, np.arange(1, last + 1)).mean())


@METRICS.register("trace.bwt", direction="higher")
def trace_backward_transfer(scores: ScoreMatrix) -> float:
    """Mean change of each task's score from just after it was learnt to the last version.

    Formula: mean over i < T of R[T][i] - R[i][i]
    Unit: that of the scores
    Direction: higher is better, negative where tasks were forgotten
    Source: Wang et al. 2023 (TRACE), BWT; equals bwt.gem

    Args:
        scores: R, versions x tasks; the diagonal and the last row must be complete for every task but the last.

    Returns:
        The mean over all tasks but the last.

    Raises:
        MetricError: With a single task, or a missing cell.
    """
    scores.require_two_tasks("there is no earlier task to transfer to")
    last = scores.number_of_tasks
    earlier = np.arange(1, last)
    return float((scores.cells(last, earlier) - scores.cells(earlier, earlier)).mean())
