"""A number over seeds: its mean and the standard error of the mean."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
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
    n = len(values)
    return Estimate(fmean(values), stdev(values) / math.sqrt(n) if n > 1 else None, n)
