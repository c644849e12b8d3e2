"""Strategies of a stream by one number: intervals and ranks over seeds, from `reports/statistics`."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import final

from clbench.core.errors import MetricError
from clbench.reports.estimates import Estimate
from clbench.reports.statistics.intervals import with_error
from clbench.reports.statistics.measured import Measured
from clbench.reports.statistics.ranks import rank_methods


@final
@dataclass(frozen=True)
class SeedRanking:
    """What seeds show of an order.

    Attributes:
        intervals: Lowest and highest rank of each strategy, from 1.
        best: The one strategy to which no other is better, as far as is shown; None if there are several.
    """

    intervals: Mapping[str, tuple[int, int]]
    best: str | None


def half_width(estimate: Estimate) -> float | None:
    """Half of the 95 % t interval of a mean over seeds; None for one seed."""
    if estimate.standard_error is None:
        return None
    interval = with_error(estimate.mean, estimate.n, estimate.standard_error, estimate.n - 1).interval
    return interval.high - estimate.mean if interval else None


def rank_by_seeds(numbers: Mapping[str, Mapping[str, float]], *, higher_is_better: bool) -> SeedRanking | None:
    """Rank strategies by paired tests over seeds.

    Args:
        numbers: A number of each strategy by seed.
        higher_is_better: Whether the highest number has rank 1.

    Returns:
        The ranking; None for fewer than two strategies, or if two of them have no seed in common.
    """
    if len(numbers) < 2:
        return None
    measured = {name: Measured(dict[Hashable, float](seeds.items())) for name, seeds in numbers.items()}
    try:
        found = rank_methods(measured, higher_is_better=higher_is_better)
    except MetricError:
        return None
    return SeedRanking(found.intervals, found.best[0] if len(found.best) == 1 else None)
