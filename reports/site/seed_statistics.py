"""Strategies compared over seeds: t intervals, paired tests, intervals of ranks.

The unit of analysis is a seed: one number of a cell. A difference is taken within a seed, whose data and order of
samples two strategies share, so it is paired.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import final

from clbench.reports.estimates import Estimate

LEVEL = 0.95
Seeds = Mapping[str, float]
"""Numbers by seed."""


@final
@dataclass(frozen=True)
class Ranking:
    """Methods in an order, with what is shown of this order.

    Attributes:
        intervals: Lowest and highest rank of each method, from 1.
        best: The one method to which no other is better, as far as is shown; None if there are several.
    """

    intervals: Mapping[str, tuple[int, int]]
    best: str | None


def half_width(estimate: Estimate) -> float | None:
    """Half of the 95 % t interval of a mean over seeds: t(0.975, n - 1) s / sqrt(n); None for one seed."""
    if estimate.standard_error is None:
        return None
    from scipy.special import stdtrit

    return float(stdtrit(estimate.n - 1, (1 + LEVEL) / 2)) * estimate.standard_error


def paired_p(first: Seeds, second: Seeds) -> float | None:
    """Two-sided p of the paired t test over the seeds that both have.

    Returns:
        p; None with fewer than two such seeds, or if all differences are equal, when t is not defined.
    """
    differences = [first[seed] - second[seed] for seed in first if seed in second]
    n = len(differences)
    if n < 2 or min(differences) == max(differences):
        return None
    from scipy.special import stdtr

    mean = fmean(differences)
    error = math.sqrt(sum((x - mean) ** 2 for x in differences) / (n - 1) / n)
    return 2 * float(stdtr(n - 1, -abs(mean) / error))


def rank(methods: Mapping[str, Seeds], higher: bool) -> Ranking:
    """Rank methods by paired t tests of all pairs, at 5 % with Holm's correction for the number of pairs.

    The interval of a method runs from 1 + the number of methods that are better to the number of those that are not
    worse (Mogstad, Romano, Shaikh and Wilhelm 2024).

    Args:
        methods: Numbers of each method by seed, at least one each.
        higher: Whether higher is better.
    """
    means = {name: fmean(seeds.values()) for name, seeds in methods.items()}
    better, worse = dict.fromkeys(methods, 0), dict.fromkeys(methods, 0)
    tests = [(paired_p(methods[one], methods[two]), one, two) for one, two in combinations(methods, 2)]
    held = sorted((p, one, two) for p, one, two in tests if p is not None)
    for step, (p, one, two) in enumerate(held):
        if p > (1 - LEVEL) / (len(held) - step):
            break
        winner, loser = (one, two) if (means[one] > means[two]) == higher else (two, one)
        better[loser] += 1
        worse[winner] += 1
    intervals = {name: (1 + better[name], len(methods) - worse[name]) for name in methods}
    first = [name for name in methods if intervals[name][0] == 1]
    return Ranking(intervals, first[0] if len(first) == 1 and len(methods) > 1 else None)
