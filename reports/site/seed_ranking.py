"""Strategies of a stream by one number: intervals and ranks over seeds, from `reports/statistics`."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import multimode, variance
from typing import final

from clbench.core.errors import MetricError
from clbench.reports.estimates import Estimate
from clbench.reports.statistics.intervals import LEVEL, with_error
from clbench.reports.statistics.measured import Measured
from clbench.reports.statistics.paired_difference import PairedDifference
from clbench.reports.statistics.ranks import rank_methods
from clbench.reports.statistics.visible_difference import visible_difference


@final
@dataclass(frozen=True)
class SeedDifference:
    """A strategy less another one.

    Attributes:
        points: The difference of each seed that both have.
        mean: Over the seeds.
        half_width: Half of its 95 % t interval; None for one seed.
        p: p-value of the paired t test, corrected for all pairs of strategies (Holm); None for one seed.
    """

    points: Mapping[str, float]
    mean: float
    half_width: float | None
    p: float | None


@final
@dataclass(frozen=True)
class SeedRanking:
    """What seeds show of an order.

    Attributes:
        intervals: Lowest and highest rank of each strategy, from 1.
        best: The one strategy to which no other is better, as far as is shown; None if there are several.
        order: The strategies, the best mean first.
        differences: Each strategy less the first one, by its name.
        pairs: Number of pairs of strategies.
        tested: Number of pairs with two seeds in common.
        told_apart: Number of pairs of which one is shown to be better, corrected for all pairs (Holm).
        visible: The smallest difference of two strategies that a paired test over as many seeds finds with a power of
            80 %, the test samples being fixed; None where no pair has two seeds in common.
    """

    intervals: Mapping[str, tuple[int, int]]
    best: str | None
    order: tuple[str, ...]
    differences: Mapping[str, SeedDifference]
    pairs: int = 0
    tested: int = 0
    told_apart: int = 0
    visible: float | None = None


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
        The ranking, in which two strategies without a common seed are not told apart; None for fewer than two.
    """
    if len(numbers) < 2:
        return None
    measured = {name: Measured(dict[Hashable, float](seeds.items())) for name, seeds in numbers.items()}
    try:
        found = rank_methods(measured, higher_is_better=higher_is_better)
    except MetricError:
        return None
    best = found.best[0] if len(found.best) == 1 else None
    first = found.order[0]
    differences = {
        test.other if test.one == first else test.one: _less(
            test.difference, -1 if test.one == first else 1, test.adjusted
        )
        for test in found.tests
        if first in (test.one, test.other) and test.difference is not None
    }
    adjusted = [test.adjusted for test in found.tests if test.adjusted is not None]
    told_apart = sum(p <= 1 - LEVEL for p in adjusted)
    visible = _visible([list(test.difference.points.values()) for test in found.tests if test.difference is not None])
    return SeedRanking(
        found.intervals, best, found.order, differences, len(found.tests), len(adjusted), told_apart, visible
    )


def _visible(differences: Sequence[Sequence[float]]) -> float | None:
    """The visible difference of a pair of typical spread with the commonest number of seeds.

    Args:
        differences: The differences of each pair over its common seeds.
    """
    several = [values for values in differences if len(values) > 1]
    if not several:
        return None
    freedom = [len(values) - 1 for values in several]
    spread = (sum(variance(v) * n for v, n in zip(several, freedom, strict=True)) / sum(freedom)) ** 0.5
    return visible_difference(spread, 0.0, max(multimode(map(len, several))), 0)


def _less(difference: PairedDifference, sign: int, adjusted: float | None) -> SeedDifference:
    """A difference, or its reverse for a sign of -1.

    Args:
        difference: The difference.
        sign: 1 or -1.
        adjusted: Its p-value, corrected for the number of pairs.
    """
    errors = difference.errors
    interval = errors.interval
    points = {str(seed): sign * value for seed, value in difference.points.items()}
    return SeedDifference(
        points, sign * errors.mean, (interval.high - interval.low) / 2 if interval else None, adjusted
    )
