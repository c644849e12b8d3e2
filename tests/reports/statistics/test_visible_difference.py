"""The smallest difference that is seen: against statsmodels, and by simulation of the test."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.power import TTestPower

from clbench.reports.statistics.intervals import mean_interval, with_error
from clbench.reports.statistics.visible_difference import runs_to_see, visible_difference


@pytest.mark.parametrize("runs", [2, 3, 5, 10, 100])
def test_without_sampling_noise_it_is_that_of_statsmodels(runs: int) -> None:
    wanted = TTestPower().solve_power(nobs=runs, alpha=0.05, power=0.8)
    assert visible_difference(1.0, 0.0, runs, 100) == pytest.approx(wanted, rel=1e-4)
    assert visible_difference(1.0, 9.9, runs, 0) == pytest.approx(wanted, rel=1e-4)  # samples are not at hand


def test_three_seeds_by_hand() -> None:
    assert visible_difference(3**0.5, 0.0, 3, 9) == pytest.approx(5.6535, abs=1e-3)  # 5.65 standard errors, not 2.8
    assert visible_difference(1.0, 0.0, 1, 9) is None
    # without noise of training there is only that of the samples, with many degrees of freedom: 1.96 + 0.84
    assert visible_difference(0.0, 1.0, 3, 10**6) == pytest.approx(2.802, abs=1e-3)


@pytest.mark.parametrize(("runs", "training", "sampling"), [(3, 1.0, 0.3), (3, 1.0, 2.0), (5, 1.0, 0.5), (10, 1, 0.5)])
def test_the_power_is_80_percent(runs: int, training: float, sampling: float) -> None:
    rng, seen, degrees = np.random.default_rng(0), 0, 60
    difference = visible_difference(training, sampling, runs, degrees)
    assert difference is not None
    for _ in range(2000):
        values = difference + rng.normal(0, training, runs) + rng.normal(0, sampling)
        own, shared = values.var(ddof=1) / runs, sampling**2 * rng.chisquare(degrees) / degrees
        freedom = (own + shared) ** 2 / (own**2 / (runs - 1) + shared**2 / degrees)
        both = with_error(float(values.mean()), runs, (own + shared) ** 0.5, freedom)
        seen += max(mean_interval(values.tolist()).p_value or 0, both.p_value or 0) <= 0.05
    assert 0.75 < seen / 2000 < 0.85


@settings(max_examples=40)
@given(st.floats(0.01, 5), st.floats(0, 1), st.floats(0.5, 20), st.integers(5, 500))
def test_the_number_of_runs_is_the_smallest_one(
    training: float, sampling: float, difference: float, degrees: int
) -> None:
    found = runs_to_see(difference, training, sampling, degrees)
    if found is None:
        seen = visible_difference(training, sampling, 1000, degrees)
        assert seen is not None
        assert seen > difference
        return
    assert (visible_difference(training, sampling, found, degrees) or 0) <= difference
    if found > 2:
        assert (visible_difference(training, sampling, found - 1, degrees) or 0) > difference


def test_too_few_samples_are_not_mended_by_runs() -> None:
    assert runs_to_see(2.0, 0.1, 1.0, 100) is None
    assert runs_to_see(3.0, 0.1, 1.0, 100) == 2
