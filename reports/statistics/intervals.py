"""Confidence intervals: of a mean over independent units, and from resamples."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from clbench.core.errors import MetricError
from clbench.reports.estimates import estimate

LEVEL = 0.95
"""Confidence level of intervals and bounds."""
RESAMPLES = 1000
"""Resamples of a bootstrap."""


@final
@dataclass(frozen=True)
class Interval:
    """A two-sided confidence interval, in the unit of the number that it belongs to."""

    low: float
    high: float


@final
@dataclass(frozen=True)
class MeanInterval:
    """A mean and how certain it is.

    Attributes:
        mean: In the unit of the values.
        n: Number of values, such as seeds, that the mean is over.
        standard_error: Of the mean; None where it is unknown, as for one value.
        degrees_of_freedom: Of Student's t distribution; not an integer where several sources of error are added.
        interval: Student's t interval of the mean; None without a standard error.
    """

    mean: float
    n: int
    standard_error: float | None = None
    degrees_of_freedom: float = 0.0
    interval: Interval | None = None

    @property
    def p_value(self) -> float | None:
        """Two-sided p-value of Student's t test that the true mean is 0; None without a standard error.

        With a standard error of 0 it is 0, or 1 if the mean is 0, too.
        """
        from scipy.special import stdtr

        if self.standard_error is None:
            return None
        if self.standard_error == 0:
            return float(self.mean == 0)
        return float(2 * stdtr(self.degrees_of_freedom, -abs(self.mean) / self.standard_error))


def mean_interval(values: Sequence[float], level: float = LEVEL) -> MeanInterval:
    """Mean and Student's t interval of a number that was measured once for each of n independent units, such as seeds.

    The unit of analysis is the seed: a repetition of the whole training. The interval says where the mean over many
    seeds may lie, on the same test samples. For three seeds it is 4.3 standard errors wide on either side, not 2.

    Formula: mean +- t s / sqrt(n), s the standard deviation with n - 1, t the (1 + level) / 2 quantile of Student's t
        distribution with n - 1 degrees of freedom
    Unit: that of the values
    Source: Student 1908

    Args:
        values: One for each unit.
        level: Confidence level, in (0, 1).

    Raises:
        MetricError: Without values.
    """
    if not values:
        raise MetricError("a mean over seeds needs at least 1 value, got none")
    found = estimate(values)
    if found.standard_error is None:
        return MeanInterval(found.mean, found.n)
    return with_error(found.mean, found.n, found.standard_error, found.n - 1, level)


def with_error(
    mean: float, n: int, standard_error: float, degrees_of_freedom: float, level: float = LEVEL
) -> MeanInterval:
    """A mean with Student's t interval of a known standard error.

    Args:
        mean: The mean.
        n: Number of values that the mean is over.
        standard_error: Of the mean.
        degrees_of_freedom: Above 0.
        level: Confidence level, in (0, 1).
    """
    from scipy.special import stdtrit

    reach = float(stdtrit(degrees_of_freedom, (1 + level) / 2)) * standard_error
    return MeanInterval(mean, n, standard_error, degrees_of_freedom, Interval(mean - reach, mean + reach))


def percentile_interval(values: Sequence[float | None], level: float = LEVEL) -> Interval | None:
    """The (1 - level) / 2 and (1 + level) / 2 quantiles of the values; None if fewer than half of them are defined."""
    defined = [value for value in values if value is not None]
    if 2 * len(defined) < max(len(values), 1):
        return None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction of the p-values of several tests for the number of tests.

    Formula: the running maximum of min(1, (m - rank + 1) p) over the m p-values in rising order, rank from 1
    Unit: a probability
    Direction: small values speak against the hypothesis
    Range: [0, 1]
    Source: Holm 1979; equals statsmodels' `multipletests(method="holm")`

    Returns:
        The corrected p-values in the given order. Tests with a value of at most `a` can be rejected together; the
        probability of any false rejection is then at most `a`.
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted
