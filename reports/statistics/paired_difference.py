"""The difference of two methods, seed by seed: all points, its errors, and whether its sign is shown."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Literal, final

from clbench.reports.statistics.intervals import LEVEL
from clbench.reports.statistics.measured import Measured, SourcesOfError, sources_of_error


@final
@dataclass(frozen=True)
class PairedDifference:
    """The first method less the second one.

    Attributes:
        points: Difference of each seed that both methods have.
        errors: Mean over the seeds, with errors.
    """

    points: Mapping[Hashable, float]
    errors: SourcesOfError

    @property
    def p_value(self) -> float | None:
        """Two-sided p-value that the methods do not differ; None for one seed."""
        return self.errors.p_value

    @property
    def sign(self) -> Literal[-1, 0, 1]:
        """1 or -1 where the whole interval lies on that side of 0; 0 where the sign is not shown."""
        interval = self.errors.interval
        if interval is None or interval.low <= 0 <= interval.high:
            return 0
        return 1 if interval.low > 0 else -1


def paired_difference(one: Measured, other: Measured, level: float = LEVEL) -> PairedDifference:
    """Paired difference of two methods over the seeds that both have.

    The unit of analysis is the seed: methods with one seed see the same order of samples and the same test set. The
    interval has Student's distribution; it holds the error of the test samples, too, where both methods have draws.
    A single seed gives a point without interval.

    Formula: the mean over seeds of (one - other), with the errors of `sources_of_error`
    Unit: that of the number
    Source: Student 1908 (paired t)

    Args:
        one: The first method.
        other: The method that is subtracted.
        level: Confidence level, in (0, 1).

    Raises:
        MetricError: Without a seed that both have.
    """
    difference = one.minus(other)
    return PairedDifference(difference.values, sources_of_error(difference, level))
