"""Ranks of methods and which is the best, as far as their differences are shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import final

import numpy as np

from clbench.core.errors import MetricError
from clbench.reports.statistics.intervals import LEVEL, RESAMPLES, holm
from clbench.reports.statistics.measured import Measured
from clbench.reports.statistics.paired_difference import PairedDifference, paired_difference
from clbench.reports.statistics.sample_draws import Numbers


@final
@dataclass(frozen=True)
class PairedTest:
    """A test of two methods.

    Attributes:
        one: Name of the first method.
        other: Name of the second one.
        difference: First less second.
        adjusted: p-value, corrected for the number of pairs (Holm); None for pairs without two common seeds, which
            cannot be told apart.
    """

    one: str
    other: str
    difference: PairedDifference
    adjusted: float | None


@final
@dataclass(frozen=True)
class Ranking:
    """Methods in the order of their means, with what is shown of this order.

    Attributes:
        order: Names, the best mean first.
        tests: One for each pair of methods.
        intervals: Lowest and highest rank of each method, from 1.
        best: The methods to which no other one is better, as far as is shown: rank 1 is in their interval. A table may
            mark a best method where this is one name.
    """

    order: tuple[str, ...]
    tests: tuple[PairedTest, ...]
    intervals: Mapping[str, tuple[int, int]]
    best: tuple[str, ...]


def rank_methods(methods: Mapping[str, Measured], *, higher_is_better: bool = True, level: float = LEVEL) -> Ranking:
    """Rank methods by paired tests of all pairs.

    The unit of analysis is the seed, as in `paired_difference`. With a probability of at least `level` the intervals of
    all methods hold their true ranks together, and `best` holds the best method. All pairs are tested, not only those
    with the method of the best mean: to choose that method by the same data favours it, which the correction for all
    pairs allows for.

    Formula: interval of method j: from 1 + (number of methods that are better than j at 1 - level, by Holm's correction
        over all pairs) to M - (number of methods that are worse), M methods
    Unit: ranks
    Direction: lower is better
    Range: 1 to M
    Source: Mogstad, Romano, Shaikh and Wilhelm 2024, Inference for Ranks (two-sided, Holm's step-down)

    Args:
        methods: A number of each method.
        higher_is_better: Whether the highest number has rank 1.
        level: Probability with which all intervals hold together, in (0, 1).

    Raises:
        MetricError: Without methods, or if two of them have no seed in common.
    """
    if not methods:
        raise MetricError("ranking: wanted at least 1 method, got none")
    sign = 1 if higher_is_better else -1
    means = {name: sign * float(np.mean(list(found.values.values()))) for name, found in methods.items()}
    pairs = list(combinations(methods, 2))
    differences = [paired_difference(methods[one], methods[other], level) for one, other in pairs]
    tested = [index for index, found in enumerate(differences) if found.p_value is not None]
    corrected = holm([differences[index].p_value or 0.0 for index in tested])
    adjusted = dict(zip(tested, corrected, strict=True))
    tests = [
        PairedTest(one, other, difference, adjusted.get(index))
        for index, ((one, other), difference) in enumerate(zip(pairs, differences, strict=True))
    ]
    better, worse = dict.fromkeys(methods, 0), dict.fromkeys(methods, 0)
    for test in tests:
        if test.adjusted is not None and test.adjusted <= 1 - level:
            first = sign * test.difference.errors.mean > 0
            winner, loser = (test.one, test.other) if first else (test.other, test.one)
            better[loser] += 1
            worse[winner] += 1
    intervals = {name: (1 + better[name], len(methods) - worse[name]) for name in methods}
    order = tuple(sorted(methods, key=lambda name: -means[name]))
    return Ranking(order, tuple(tests), intervals, tuple(name for name in order if intervals[name][0] == 1))


def rank_shares(
    methods: Mapping[str, Measured], *, higher_is_better: bool = True, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Numbers]:
    """How often each method has each rank when seeds, and test samples where there are draws, are drawn again.

    The shares describe how stable the order is; they are no test, and with three seeds they are rough. Seeds are drawn
    from those that all methods have, the same ones for all methods. Of S seeds S - 1 are drawn with replacement, which
    gives means their right variance. With one common seed only the samples vary.

    Formula: the share of draws with rank k; equal numbers share their ranks at random
    Unit: a share of the draws; index 0 is rank 1
    Range: [0, 1], each method's shares sum to 1
    Source: Goldstein and Spiegelhalter 1996, League Tables and Their Limitations; Hall and Miller 2009 (bootstrap)

    Args:
        methods: A number of each method.
        higher_is_better: Whether the highest number has rank 1.
        resamples: Number of draws, where the methods have none of the samples; else as many as these.
        seed: Seed of the draws; the same seed gives the same shares.

    Returns:
        Shape `(methods,)` by name.

    Raises:
        MetricError: If the methods have no seed in common.
    """
    common = [seed for seed in next(iter(methods.values())).values if all(seed in m.values for m in methods.values())]
    if not common:
        raise MetricError("ranks: wanted a seed that all methods have, got none")
    drawn = all(method.draws for method in methods.values())
    if drawn:
        resamples = min(len(method.draws[common[0]]) for method in methods.values())
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(max(len(common) - 1, 1), np.full(len(common), 1 / len(common)), resamples)
    numbers = np.empty((resamples, len(methods)))
    for column, method in enumerate(methods.values()):
        of_seeds = [method.draws[s][:resamples] if drawn else np.full(resamples, method.values[s]) for s in common]
        numbers[:, column] = (weights * np.stack(of_seeds, axis=1)).sum(axis=1) / max(len(common) - 1, 1)
    numbers = numbers[~np.isnan(numbers).any(axis=1)] * (-1 if higher_is_better else 1)
    order = np.lexsort((rng.random(numbers.shape), numbers), axis=1)
    shares = {}
    for column, name in enumerate(methods):
        ranks = np.argmax(order == column, axis=1)
        shares[name] = np.bincount(ranks, minlength=len(methods)) / max(len(numbers), 1)
    return shares
