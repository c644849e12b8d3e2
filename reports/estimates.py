"""A number over seeds: its mean and the standard error of the mean."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import final


@final
@dataclass(frozen=True)
class Estimate:
    """A number over seeds.

    Attributes:
        mean: Over the seeds.
        standard_error: Of the mean; None for one seed.
        n: Number of seeds.
    """

    mean: float
    standard_error: float | None
    n: int


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and its standard error s / sqrt(n), with s the sample standard deviation (n - 1).

    Raises:
        StatisticsError: Without values.
    """
    n, mean = len(values), fmean(values)
    if n == 1:
        return Estimate(mean, None, n)
    squares = math.fsum((value - mean) ** 2 for value in values)  # `statistics.stdev` takes thirty times as long
    return Estimate(mean, math.sqrt(squares / (n - 1) / n), n)
