"""Average accuracy: how good the last version is over all tasks."""

from clbench.core.registry import METRICS
from clbench.reports.matrix import ScoreMatrix


@METRICS.register("average_accuracy", direction="higher")
def average_accuracy(scores: ScoreMatrix) -> float:
    """Mean score of the last version over all tasks learnt.

    Formula: mean over i of R[T][i]
    Unit: that of the scores
    Direction: higher is better
    Source: Lopez-Paz and Ranzato 2017 (GEM)

    Where updates compress the model or make it forget, it is the mean after them. Where no update learnt a task, as in
    streams of releases, it is the mean over all tasks.

    Args:
        scores: R, versions x tasks; the last row must be complete.

    Returns:
        The mean, also defined for a single task.

    Raises:
        MetricError: When the last version was not tested on every task.
    """
    return float(scores.along(scores.last).last_scores().mean())
