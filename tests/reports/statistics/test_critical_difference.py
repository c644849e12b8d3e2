"""Ranks over tasks: by hand, against scipy, statsmodels and autorank."""

from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from autorank import autorank
from scipy import stats
from statsmodels.stats.multitest import multipletests

from clbench.core.errors import MetricError
from clbench.reports.statistics.critical_difference import critical_difference, smallest_possible_p


def scores(seed: int, tasks: int = 12) -> dict[str, list[float]]:
    rng = np.random.default_rng(seed)
    task = rng.normal(0, 1, tasks)
    shifts = {"a": 0.0, "b": 0.1, "c": 1.0, "d": 1.2}
    return {name: (task + shift + rng.normal(0, 0.4, tasks)).tolist() for name, shift in shifts.items()}


@pytest.mark.parametrize("tasks", range(1, 9))
def test_the_smallest_p_is_that_of_all_signs(tasks: int) -> None:
    sizes = range(1, tasks + 1)
    sums = [
        sum(size for size, sign in zip(sizes, signs, strict=True) if sign) for signs in product((0, 1), repeat=tasks)
    ]
    extreme = sum(value in (0, sum(sizes)) for value in sums) / len(sums)
    assert smallest_possible_p(tasks) == extreme
    assert smallest_possible_p(tasks) == pytest.approx(stats.wilcoxon(list(sizes)).pvalue)
    assert smallest_possible_p(tasks, 5) == min(1.0, 10 * extreme)


@pytest.mark.parametrize("seed", range(3))
def test_p_values_are_those_of_scipy_and_statsmodels(seed: int) -> None:
    found = critical_difference(scores(seed))
    assert found.friedman_p == pytest.approx(stats.friedmanchisquare(*scores(seed).values()).pvalue)
    raw = [float(stats.wilcoxon(scores(seed)[one], scores(seed)[other]).pvalue) for one, other in found.p_values]
    assert list(found.p_values.values()) == pytest.approx(list(multipletests(raw, method="holm")[1]))


@pytest.mark.parametrize("seed", range(3))
def test_ranks_and_the_test_of_all_methods_are_those_of_autorank(seed: int) -> None:
    found = critical_difference(scores(seed))
    reference = autorank(pd.DataFrame(scores(seed)), alpha=0.05, verbose=False, force_mode="nonparametric")
    ranks = dict(reference.rankdf["meanrank"])
    assert dict(found.average_ranks) == pytest.approx({str(name): float(rank) for name, rank in ranks.items()})
    assert found.friedman_p == pytest.approx(reference.pvalue)


def test_groups_by_hand() -> None:
    found = critical_difference(scores(0))
    order = list(found.average_ranks)
    assert order[:2] in (["d", "c"], ["c", "d"])
    assert found.groups == (tuple(order[:2]), tuple(order[2:]))
    for group in found.groups:
        assert all(found.p_values[pair] > 0.05 for pair in combinations(group, 2))
    assert found.smallest_p == pytest.approx(6 / 2**11)


def test_groups_may_overlap_and_lower_may_be_better() -> None:
    """B is on either side of a and of c (three of eight tasks, p = 14 / 128), c is above a on all."""
    rows = {
        "a": [0.0] * 8,
        "b": [-0.3, -0.2, -0.1, 0.4, 0.5, 1.1, 1.2, 1.3],
        "c": [1.01, 1.02, 1.03, 1.04, 1.05, 1.06, 1.07, 1.08],
    }
    found = critical_difference(rows, higher_is_better=False)
    assert dict(found.average_ranks) == {"a": 11 / 8, "b": 16 / 8, "c": 21 / 8}
    assert found.friedman_p == pytest.approx(stats.chi2.sf(6.25, 2))
    assert found.p_values == pytest.approx({("a", "b"): 28 / 128, ("a", "c"): 3 / 128, ("b", "c"): 28 / 128})
    assert found.groups == (("a", "b"), ("b", "c"))
    assert critical_difference(rows).groups == (("c", "b"), ("b", "a"))


def test_equal_methods_are_one_group() -> None:
    same = {name: [1.0, 2, 3, 4, 5, 6, 7, 8] for name in "abc"}
    found = critical_difference(same)
    assert (found.friedman_p, found.groups) == (1.0, (("a", "b", "c"),))
    assert set(found.average_ranks.values()) == {2.0}
    two = critical_difference({"a": [1.0] * 6, "b": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]})
    assert (two.friedman_p, two.groups, two.p_values[("a", "b")]) == (None, (), 2 / 2**6)


def test_too_few_tasks_and_bad_input() -> None:
    with pytest.raises(MetricError, match=r"5 tasks are too few for 2 methods: the smallest possible p is 0\.062"):
        critical_difference({"a": [1.0] * 5, "b": [0.0] * 5})
    for bad in ({"a": [1.0]}, {"a": [1.0] * 9, "b": [1.0] * 8}):
        with pytest.raises(MetricError, match="at least 2 methods with a score on each task"):
            critical_difference(bad)
    with pytest.raises(MetricError, match="finite"):
        critical_difference({"a": [float("nan")] * 9, "b": [1.0] * 9})
