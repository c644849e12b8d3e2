"""Methods over many tasks by rank: Friedman's test, Wilcoxon's tests with Holm's correction, and what joins whom."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import final

import numpy as np

from clbench.core.errors import MetricError
from clbench.reports.statistics.intervals import LEVEL, holm
from clbench.reports.statistics.sample_draws import Numbers


@final
@dataclass(frozen=True)
class CriticalDifference:
    """What a critical-difference diagram shows.

    Attributes:
        average_ranks: Mean rank over the tasks by method, the best first; 1 is the best rank.
        friedman_p: p-value of Friedman's test that all methods are alike; None for two methods.
        p_values: Wilcoxon's p-value of each pair, corrected for the number of pairs (Holm).
        groups: Methods that one bar of the diagram joins: neighbours by rank of which no pair differs.
        smallest_p: The smallest corrected p-value that so many tasks can give.
    """

    average_ranks: Mapping[str, float]
    friedman_p: float | None
    p_values: Mapping[tuple[str, str], float]
    groups: tuple[tuple[str, ...], ...]
    smallest_p: float


def smallest_possible_p(tasks: int, methods: int = 2) -> float:
    """The smallest p-value that Wilcoxon's signed rank test can give, corrected for all pairs of methods (Holm).

    It is reached where one method is better on all tasks. With five tasks and two methods it is 0.0625, so no result
    can be significant at 5 %.

    Formula: min(1, 2^(1 - tasks) M (M - 1) / 2), M methods
    Unit: a probability
    Source: Wilcoxon 1945 (exact, two-sided); Holm 1979

    Args:
        tasks: Number of tasks, at least 1.
        methods: Number of methods, at least 2.
    """
    return min(1.0, float(2.0 ** (1 - tasks)) * methods * (methods - 1) / 2)


def critical_difference(
    scores: Mapping[str, Sequence[float]], *, higher_is_better: bool = True, level: float = LEVEL
) -> CriticalDifference:
    """Compare methods over tasks by their ranks.

    The unit of analysis is the task: one score a task and method, such as the mean over seeds. Tasks count as drawn
    from all tasks that the methods are meant for; tasks that share data or a trained model are fewer than they seem.
    Pairs are only told apart where Friedman's test finds a difference at all.

    Source: Friedman 1937; Wilcoxon 1945; Holm 1979; Demšar 2006 (the diagram); Benavoli, Corani and Mangili 2016
        (Wilcoxon's test instead of differences of mean ranks). Friedman's and Wilcoxon's tests are scipy's

    Args:
        scores: By method, in one order of tasks.
        higher_is_better: Whether the highest score has rank 1.
        level: 1 less the probability that some pair is told apart though it does not differ.

    Raises:
        MetricError: For fewer than two methods, different numbers of tasks, a score that is not finite, or too few
            tasks for any pair to differ significantly.
    """
    names = list(scores)
    if len(names) < 2 or len({len(values) for values in scores.values()}) != 1:
        raise MetricError("critical difference: wanted at least 2 methods with a score on each task")
    table = np.array(list(scores.values()), dtype=np.float64)
    if not np.isfinite(table).all():
        raise MetricError("critical difference: wanted finite scores of all methods on all tasks")
    smallest = smallest_possible_p(table.shape[1], len(names))
    if smallest > 1 - level:
        raise MetricError(
            f"critical difference: {table.shape[1]} tasks are too few for {len(names)} methods: "
            f"the smallest possible p is {smallest:.2g}, wanted at most {1 - level:.2g}"
        )
    from scipy.stats import friedmanchisquare, rankdata

    ranks = rankdata(-table if higher_is_better else table, axis=0).mean(axis=1)
    order = [names[index] for index in np.argsort(ranks, kind="stable")]
    average = {name: float(ranks[names.index(name)]) for name in order}
    friedman = None
    if len(names) > 2:
        alike = bool((table == table[0]).all())
        friedman = 1.0 if alike else float(friedmanchisquare(*table).pvalue)
    pairs = list(combinations(order, 2))
    row = {name: table[index] for index, name in enumerate(names)}
    p_values = dict(zip(pairs, holm([_wilcoxon(row[one], row[other]) for one, other in pairs]), strict=True))
    differ = {pair for pair, p in p_values.items() if p <= 1 - level and (friedman is None or friedman <= 1 - level)}
    return CriticalDifference(average, friedman, p_values, _groups(order, differ), smallest)


def _wilcoxon(one: Numbers, other: Numbers) -> float:
    from scipy.stats import wilcoxon

    return 1.0 if np.array_equal(one, other) else float(wilcoxon(one, other).pvalue)


def _groups(order: Sequence[str], differ: set[tuple[str, str]]) -> tuple[tuple[str, ...], ...]:
    """The longest runs of neighbours, two at least, of which no pair differs; none lies within another."""
    found: list[tuple[str, ...]] = []
    reached = 0
    for start in range(len(order)):
        end = start + 1
        while end < len(order) and not any((order[i], order[end]) in differ for i in range(start, end)):
            end += 1
        if end > max(reached, start + 1):
            found.append(tuple(order[start:end]))
            reached = end
    return tuple(found)
