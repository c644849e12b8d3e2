"""Interquartile mean and probability of improvement: by hand, against scipy and plain loops, and by simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from clbench.core.errors import MetricError
from clbench.reports.statistics.intervals import Interval
from clbench.reports.statistics.many_tasks import expanded_level, interquartile_mean, probability_of_improvement


def test_by_hand() -> None:
    # of the eight scores the two lowest and the two highest are left out: 10, 11, 20, 21 stay
    assert interquartile_mean(np.array([[0.0, 10, 20, 30], [1, 11, 21, 900]])).value == 15.5
    one, other = np.array([[1.0, 5], [3, 5]]), np.array([[2.0, 5], [0, 6]])
    # task 1: 1 > 0, 3 > 2, 3 > 0 of 4 pairs; task 2: two equal pairs of 4
    assert probability_of_improvement(one, other).value == (3 / 4 + 1 / 4) / 2


@settings(max_examples=30)
@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 7))
def test_the_numbers_are_those_of_scipy(seed: int, runs: int, tasks: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.integers(0, 9, (runs, tasks)).astype(float), rng.integers(0, 9, (4, tasks)).astype(float)
    assert interquartile_mean(one, resamples=2).value == pytest.approx(stats.trim_mean(one, 0.25, axis=None))
    found = probability_of_improvement(one, other, resamples=2).value
    larger = stats.mannwhitneyu(one, other, axis=0).statistic
    assert found == pytest.approx(np.mean(larger) / (runs * 4))
    assert found == pytest.approx(1 - probability_of_improvement(other, one, resamples=2).value)


def test_the_intervals_are_those_of_plain_loops() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.random((5, 6)), rng.random((5, 6)) - 0.1
    means, improvements = [], []
    for _ in range(4000):
        ours, theirs = (np.column_stack([rng.choice(task, 5) for task in scores.T]) for scores in (one, other))
        means.append(stats.trim_mean(ours, 0.25, axis=None))
        improvements.append(np.mean(ours[:, np.newaxis] > theirs))
    tail = (1 - expanded_level(0.95, 5)) / 2
    for found, drawn in (
        (interquartile_mean(one, resamples=20_000), means),
        (probability_of_improvement(one, other, resamples=20_000), improvements),
    ):
        assert found.interval is not None
        wanted = np.quantile(drawn, [tail, 1 - tail])
        assert (found.interval.low, found.interval.high) == pytest.approx(tuple(wanted), abs=0.02)


def test_the_expanded_level_by_hand() -> None:
    assert expanded_level(0.95, 2) == pytest.approx(2 * stats.norm.cdf(2**0.5 * stats.norm.ppf(0.975)) - 1)
    assert expanded_level(0.95, 10_000) == pytest.approx(0.95, abs=1e-4)


@pytest.mark.parametrize(("runs", "tasks"), [(3, 20), (5, 10), (10, 10)])
def test_95_percent_intervals_hold_the_truth_in_95_percent_of_experiments(runs: int, tasks: int) -> None:
    rng, held = np.random.default_rng(0), np.zeros(2)
    centre = rng.normal(0, 1, tasks)
    truth = stats.trim_mean(centre + rng.normal(0, 0.5, (20_000, tasks)), 0.25, axis=None)
    improvement = stats.norm.cdf(0.1 / (0.5 * 2**0.5))
    for run in range(1000):
        one, other = centre + 0.1 + rng.normal(0, 0.5, (runs, tasks)), centre + rng.normal(0, 0.5, (runs, tasks))
        found = (
            interquartile_mean(other, resamples=300, seed=run),
            probability_of_improvement(one, other, resamples=300, seed=run),
        )
        for place, (each, wanted) in enumerate(zip(found, (truth, improvement), strict=True)):
            assert each.interval is not None
            held[place] += each.interval.low <= wanted <= each.interval.high
    assert np.all((held / 1000 > 0.93) & (held / 1000 < 0.97)), held / 1000


def test_ends_and_bad_input() -> None:
    above, below = np.ones((3, 2)), np.zeros((3, 2))
    assert probability_of_improvement(above, below).interval == Interval(1.0, 1.0)
    assert interquartile_mean(np.ones((1, 4))).interval is None
    assert probability_of_improvement(np.ones((1, 2)), below).interval is None
    for scores in (np.ones(3), np.ones((0, 2)), np.array([[np.nan]])):
        with pytest.raises(MetricError, match="wanted finite scores"):
            interquartile_mean(scores)
    with pytest.raises(MetricError, match="wanted the same tasks, got 2 and 4"):
        probability_of_improvement(above, np.ones((3, 4)))
