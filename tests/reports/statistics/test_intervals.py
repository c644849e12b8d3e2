"""Means over seeds and Holm's correction: by hand, and against scipy and statsmodels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW

from clbench.core.errors import MetricError
from clbench.reports.statistics.intervals import MeanInterval, holm, mean_interval, percentile_interval


def test_three_seeds_by_hand() -> None:
    found = mean_interval([1.0, 2.0, 3.0])
    assert found.interval is not None
    assert (found.mean, found.n, found.standard_error) == pytest.approx((2.0, 3, 1 / 3**0.5))
    assert found.interval.high - 2.0 == pytest.approx(4.302652729749462 / 3**0.5)  # the table's t of two degrees


@pytest.mark.parametrize("seed", range(3))
def test_an_interval_over_seeds_is_that_of_statsmodels(seed: int) -> None:
    values = np.random.default_rng(seed).random(5).tolist()
    found, reference = mean_interval(values), DescrStatsW(values)
    assert found.interval is not None
    assert (found.n, found.mean, found.standard_error) == pytest.approx((5, reference.mean, reference.std_mean))
    assert (found.interval.low, found.interval.high) == pytest.approx(reference.tconfint_mean())


@settings(max_examples=50)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=8))
def test_the_p_value_is_that_of_scipy(values: list[float]) -> None:
    if np.ptp(values) > 1e-6:
        assert mean_interval(values).p_value == pytest.approx(stats.ttest_1samp(values, 0).pvalue, rel=1e-6, abs=1e-12)


def test_equal_differences_leave_no_doubt() -> None:
    assert mean_interval([0.5, 0.5]).p_value == 0
    assert mean_interval([0.0, 0.0]).p_value == 1


def test_one_seed_has_no_error() -> None:
    assert mean_interval([0.5]) == MeanInterval(0.5, 1)
    assert mean_interval([0.5]).p_value is None
    with pytest.raises(MetricError, match="at least 1 value"):
        mean_interval([])


@settings(max_examples=20)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_is_that_of_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(list(multipletests(p_values, method="holm")[1]))


def test_holm_of_nothing() -> None:
    assert holm([]) == []


def test_quantiles_of_few_values_are_none() -> None:
    assert percentile_interval([None, None, 1.0]) is None
    assert percentile_interval([]) is None
