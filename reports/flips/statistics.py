"""Tests and intervals for flips.

`scipy.stats` and statsmodels would do the same, but take one and a half and two and a half seconds to import, more than
a whole comparison; the tests hold these functions against them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from clbench.core.errors import MetricError
from clbench.reports.estimates import estimate
from clbench.reports.flips.binomial import at_most, chance_of_at_most

if TYPE_CHECKING:
    from clbench.reports.flips.contingency import ContingencyTable
    from clbench.reports.flips.flip_metrics import FlipMetric

RESAMPLES = 1000
LEVEL = 0.95


@final
@dataclass(frozen=True)
class Interval:
    """A two-sided interval."""

    low: float
    high: float


@final
@dataclass(frozen=True)
class SeedSummary:
    """A number over seeds; no error and no interval with a single one."""

    n: int
    mean: float
    standard_error: float | None
    interval: Interval | None


def mcnemar_exact(first_only: int, second_only: int) -> float:
    """Exact two-sided McNemar test: may the discordant pairs fall to either side with equal chance?

    With (negative flips, positive flips) it asks whether the accuracy changed. It is no test of NFR against a budget.

    Formula: min(1, 2 P(X <= min(b, c))), X binomial with b + c trials and chance 1/2
    Source: McNemar 1947, exact form; equals statsmodels' `mcnemar(exact=True)`

    Args:
        first_only: Pairs for which only the first statement holds.
        second_only: Pairs for which only the second one holds.

    Returns:
        The p-value; 1 without discordant pairs, which speak for neither side.
    """
    least, n = min(first_only, second_only), first_only + second_only
    if n == 0:
        return 1.0
    return min(1.0, 2.0 * at_most(least, n, 0.5))


def upper_bound(events: int, n: int, level: float = LEVEL) -> float | None:
    """Clopper-Pearson's one-sided upper bound of a rate: for budgets, also where no event was seen.

    Formula: the share p with P(X <= events) = 1 - level, X binomial with n trials and chance p
    Source: Clopper and Pearson 1934

    Returns:
        The bound, which holds with at least the chance `level`; None without trials.
    """
    if n == 0:
        return None
    return 1.0 if events == n else chance_of_at_most(events, n, 1 - level)


def bootstrap(
    table: "ContingencyTable",
    metrics: "Mapping[str, FlipMetric]",
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, Interval | None]:
    """Paired percentile bootstrap of any function of the five counts.

    To draw n pairs with replacement and count them is to draw the five counts from a multinomial distribution, so this
    is the paired bootstrap itself, no approximation, and its cost does not depend on n.

    Returns:
        An interval a metric, over the resamples in which it is defined; None where it is not in half of them.
    """
    from clbench.reports.flips.contingency import ContingencyTable

    if table.n == 0:
        return dict.fromkeys(metrics)
    shares = np.array(table.counts) / table.n
    draws = np.random.default_rng(seed).multinomial(table.n, shares, size=resamples).tolist()
    tables = [ContingencyTable(*draw) for draw in draws]
    return {name: percentile_interval([metric(t) for t in tables], level) for name, metric in metrics.items()}


def percentile_interval(values: Sequence[float | None], level: float = LEVEL) -> Interval | None:
    """The middle share `level` of resampled values; None where fewer than half of them are defined."""
    defined = [value for value in values if value is not None]
    if 2 * len(defined) < max(len(values), 1):
        return None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction: p-values that may be compared with a level although many tests were made.

    Formula: in rising order, the running maximum of (m - rank + 1) p, at most 1
    Source: Holm 1979; equals statsmodels' `multipletests(method="holm")`
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def over_seeds(values: Sequence[float], level: float = LEVEL) -> SeedSummary:
    """Mean, standard error and Student's t interval of a number that was measured with several seeds.

    Raises:
        MetricError: Without values.
    """
    from scipy.special import stdtrit

    if not values:
        raise MetricError("a mean over seeds needs at least 1 value, got none")
    found = estimate(values)
    if found.standard_error is None:
        return SeedSummary(found.n, found.mean, None, None)
    reach = float(stdtrit(found.n - 1, (1 + level) / 2)) * found.standard_error
    return SeedSummary(found.n, found.mean, found.standard_error, Interval(found.mean - reach, found.mean + reach))


def noise_floor(flips_of: "Callable[[int, int], ContingencyTable]", seeds: int, metric: "FlipMetric") -> float | None:
    """What a flip metric shows between seeds of one recipe, where nothing was updated: the mean over ordered pairs.

    A difference between old and new that is not well above this floor is what any training run brings.

    Args:
        flips_of: The table from seed i (as old) to seed j (as new), counted from 0.
        seeds: How many there are.
        metric: Such as `nfr`.

    Returns:
        The mean over the pairs for which the metric is defined, None if there are none.
    """
    found = [metric(flips_of(i, j)) for i in range(seeds) for j in range(seeds) if i != j]
    defined = [value for value in found if value is not None]
    return math.fsum(defined) / len(defined) if defined else None
