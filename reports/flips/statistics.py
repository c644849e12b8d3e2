"""Tests and intervals for flips.

`scipy.stats` and statsmodels have the same functions, but their imports take 1.5 s and 2.5 s, more than a whole
comparison. The tests compare these functions with theirs.
"""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from clbench.reports.flips.binomial import binomial_cdf, binomial_cdf_inverse
from clbench.reports.statistics.intervals import LEVEL, RESAMPLES, Interval, percentile_interval

if TYPE_CHECKING:
    from clbench.reports.flips.contingency import ContingencyTable
    from clbench.reports.flips.flip_metrics import FlipMetric


def mcnemar_exact(first_only: int, second_only: int) -> float:
    """Exact two-sided McNemar test of the hypothesis that both kinds of discordant pairs are equally likely.

    With b = negative flips and c = positive flips the hypothesis is that the accuracy did not change. The test says
    nothing about whether NFR keeps to a budget.

    Formula: min(1, 2 P(X <= min(b, c))), X binomial with b + c trials of probability 1/2
    Unit: a probability
    Direction: small values speak against the hypothesis
    Range: (0, 1]
    Source: McNemar 1947, exact form; equals statsmodels' `mcnemar(exact=True)`

    Args:
        first_only: b, the number of pairs for which only the first statement holds.
        second_only: c, the number of pairs for which only the second statement holds.

    Returns:
        The p-value; 1 without discordant pairs.
    """
    least, n = min(first_only, second_only), first_only + second_only
    if n == 0:
        return 1.0
    return min(1.0, 2.0 * binomial_cdf(least, n, 0.5))


def upper_bound(events: int, n: int, level: float = LEVEL) -> float | None:
    """One-sided upper confidence bound of a rate (Clopper-Pearson); it is above 0 even if no event was seen.

    Formula: the p with P(X <= events) = 1 - level, X binomial with n trials of probability p; 1 if events = n
    Unit: a share of the trials
    Direction: that of the rate; for NFR lower is better
    Range: (0, 1]
    Source: Clopper and Pearson 1934

    Args:
        events: Number of events, such as negative flips, from 0 to n.
        n: Number of trials, such as paired samples.
        level: Probability with which the bound holds at least, in (0.5, 1).

    Returns:
        The bound; None without trials.
    """
    if n == 0:
        return None
    return 1.0 if events == n else binomial_cdf_inverse(events, n, 1 - level)


def bootstrap(
    table: "ContingencyTable",
    metrics: "Mapping[str, FlipMetric]",
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, Interval | None]:
    """Paired percentile bootstrap of functions of the five counts.

    Drawing n pairs with replacement and counting them is the same as drawing the five counts from a multinomial
    distribution. So this is the exact paired bootstrap, and its cost does not depend on n.

    Formula: the (1 - level) / 2 and (1 + level) / 2 quantiles of the metric over resamples of the n pairs
    Source: Efron 1981 (percentile method)

    Args:
        table: The five counts of the n pairs.
        metrics: Functions of the counts, by name.
        resamples: Number of resamples.
        level: Confidence level of the intervals, in (0, 1).
        seed: Seed of the random draws; the same seed gives the same intervals.

    Returns:
        An interval for each metric, over the resamples in which it is defined; None if these are fewer than half.
    """
    from clbench.reports.flips.contingency import ContingencyTable

    if table.n == 0:
        return dict.fromkeys(metrics)
    shares = np.array(table.counts) / table.n
    draws = np.random.default_rng(seed).multinomial(table.n, shares, size=resamples).tolist()
    tables = [ContingencyTable(*draw) for draw in draws]
    return {name: percentile_interval([metric(t) for t in tables], level) for name, metric in metrics.items()}


def noise_floor(flips_of: "Callable[[int, int], ContingencyTable]", seeds: int, metric: "FlipMetric") -> float | None:
    """Noise floor of a flip metric: its mean over ordered pairs of models that differ in the seed only.

    An update whose flips are not clearly above this floor changes no more than another training run would.

    Formula: the mean of metric(i, j) over all seeds i != j
    Unit: that of the metric
    Direction: that of the metric

    Args:
        flips_of: Function of i and j, counted from 0: the table with seed i as the old model and seed j as the new one.
        seeds: Number of seeds.
        metric: A flip metric, such as `nfr`.

    Returns:
        The mean over the pairs for which the metric is defined; None without such pairs.
    """
    found = [metric(flips_of(i, j)) for i in range(seeds) for j in range(seeds) if i != j]
    defined = [value for value in found if value is not None]
    return math.fsum(defined) / len(defined) if defined else None
