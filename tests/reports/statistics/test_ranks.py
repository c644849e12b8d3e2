"""Ranks and the best method: by hand, against scipy and statsmodels, and by simulation."""

from collections.abc import Mapping

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from clbench.core.errors import MetricError
from clbench.reports.statistics.measured import Measured
from clbench.reports.statistics.ranks import rank_methods, rank_shares

SCORES = {"a": (50.0, 51, 52, 53), "b": (49.9, 51, 52.2, 53), "c": (40, 41.1, 42, 42.9), "d": (30, 31, 32.2, 32.9)}


def methods(scores: Mapping[str, tuple[float, ...]]) -> dict[str, Measured]:
    return {name: Measured(dict(enumerate(values))) for name, values in scores.items()}


def test_ranks_by_hand() -> None:
    found = rank_methods(methods(SCORES))
    assert found.order == ("b", "a", "c", "d")
    assert found.intervals == {"a": (1, 2), "b": (1, 2), "c": (3, 3), "d": (4, 4)}
    assert found.best == ("b", "a")


def test_lower_may_be_better() -> None:
    found = rank_methods(methods(SCORES), higher_is_better=False)
    assert found.order == ("d", "c", "a", "b")
    assert found.best == ("d",)
    assert found.intervals["a"] == (3, 4)


def test_p_values_are_those_of_scipy_and_statsmodels() -> None:
    found = rank_methods(methods(SCORES))
    raw = [float(stats.ttest_rel(SCORES[test.one], SCORES[test.other]).pvalue) for test in found.tests]
    assert [test.difference.p_value for test in found.tests] == pytest.approx(raw)
    assert [test.adjusted for test in found.tests] == pytest.approx(list(multipletests(raw, method="holm")[1]))


def test_two_seeds_rank_nothing_and_one_seed_tests_nothing() -> None:
    found = rank_methods(methods({"a": (3.0, 2.0), "b": (2.5, 2.2), "c": (1.0, 1.9)}))
    assert set(found.intervals.values()) == {(1, 3)}
    single = rank_methods(methods({"a": (3.0,), "b": (2.0,)}))
    assert [test.adjusted for test in single.tests] == [None]
    assert single.best == ("a", "b")


def test_bad_input() -> None:
    with pytest.raises(MetricError, match="at least 1 method"):
        rank_methods({})
    apart = {"a": Measured({0: 1.0}), "b": Measured({1: 1.0})}
    with pytest.raises(MetricError, match="a seed that both methods have"):
        rank_methods(apart)
    with pytest.raises(MetricError, match="a seed that all methods have"):
        rank_shares(apart)


def test_of_equal_methods_none_is_called_worse_in_95_percent_of_experiments() -> None:
    """Six methods, so that the choice of the best mean would mislead a test against it alone."""
    rng, right = np.random.default_rng(0), 0
    for _ in range(400):
        scores = {name: tuple(rng.normal(0, 1, 5).tolist()) for name in "abcdef"}
        right += len(rank_methods(methods(scores)).best) == 6
    assert right / 400 >= 0.95


def test_shares_of_ranks_by_hand() -> None:
    found = rank_shares(methods({"a": (2.0, 2.0, 0.0), "b": (1.0, 1.0, 1.0)}), resamples=90_000)
    # two of three seeds are drawn: a is above b unless seed 2 is among them (5 of 9), equal with it once (4 of 9)
    assert found["a"] == pytest.approx([4 / 9 + 2 / 9, 2 / 9 + 1 / 9], abs=0.01)
    assert found["a"] + found["b"] == pytest.approx([1, 1])


def test_shares_follow_the_draws_of_the_samples() -> None:
    one, other = np.array([1.0, 1.0, 0.0, np.nan]), np.array([0.5, 0.5, 0.5, 0.5])
    found = rank_shares({"a": Measured({0: 0.7}, {0: one}, 3), "b": Measured({0: 0.5}, {0: other}, 3)})
    assert found["a"] == pytest.approx([2 / 3, 1 / 3])
    lower = rank_shares(
        {"a": Measured({0: 0.7}, {0: one}, 3), "b": Measured({0: 0.5}, {0: other}, 3)}, higher_is_better=False
    )
    assert lower["a"] == pytest.approx([1 / 3, 2 / 3])
