"""Tests and intervals against scipy.stats, statsmodels and resampling of single answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from clbench.reports.flips.binomial import binomial_cdf
from clbench.reports.flips.contingency import ContingencyTable
from clbench.reports.flips.flip_metrics import FLIP_METRICS, nfi, nfr
from clbench.reports.flips.statistics import bootstrap, mcnemar_exact, noise_floor, upper_bound
from clbench.reports.statistics.intervals import Interval, percentile_interval


@given(st.integers(0, 3000), st.integers(0, 3000))
def test_mcnemar_is_that_of_statsmodels(first: int, second: int) -> None:
    if first + second:
        assert mcnemar_exact(first, second) == pytest.approx(
            mcnemar([[0, first], [second, 0]], exact=True).pvalue, rel=1e-9
        )


def test_mcnemar_by_hand() -> None:
    assert mcnemar_exact(0, 0) == 1.0
    assert mcnemar_exact(0, 5) == pytest.approx(2 / 32)
    assert mcnemar_exact(1, 3) == pytest.approx(2 * (1 + 4) / 16)
    assert mcnemar_exact(4, 4) == 1.0


@given(st.integers(0, 500), st.integers(1, 500))
def test_the_upper_bound_is_that_of_scipy_and_statsmodels(events: int, more: int) -> None:
    n = events + more
    exact = stats.binomtest(events, n, alternative="less").proportion_ci(0.95, "exact").high
    assert upper_bound(events, n) == pytest.approx(exact, rel=1e-9)
    assert upper_bound(events, n) == pytest.approx(proportion_confint(events, n, 0.1, "beta")[1], rel=1e-9)


@pytest.mark.parametrize(
    ("k", "n", "p"), [(4_998_000, 10_000_000, 0.5), (3, 10_000_000, 1e-6), (70, 99, 0.5), (98, 99, 0.01)]
)
def test_tails_of_large_and_lopsided_samples_are_those_of_scipy(k: int, n: int, p: float) -> None:
    assert binomial_cdf(k, n, p) == pytest.approx(float(stats.binom.cdf(k, n, p)), rel=1e-6)


def test_the_upper_bound_of_ten_million_is_that_of_scipy() -> None:
    exact = stats.binomtest(2_108_000, 10_000_000, alternative="less").proportion_ci(0.95, "exact").high
    assert upper_bound(2_108_000, 10_000_000) == pytest.approx(exact, rel=1e-9)


def test_the_upper_bound_at_its_ends() -> None:
    assert upper_bound(0, 0) is None
    assert upper_bound(7, 7) == 1.0
    assert upper_bound(0, 100) == pytest.approx(1 - 0.05 ** (1 / 100))


def test_resampling_counts_is_resampling_answers() -> None:
    table = ContingencyTable(50, 12, 20, 15, 3)
    cells = np.repeat(np.arange(5), [50, 12, 20, 15, 3])
    draws = np.random.default_rng(1).choice(cells, (20_000, table.n))
    change = ((draws == 2).sum(1) - (draws == 1).sum(1)) / table.n
    new_errors = np.isin(draws, (1, 3, 4)).sum(1)
    found = bootstrap(table, FLIP_METRICS, resamples=20_000)
    for name, values in (("accuracy_change", change), ("nfi", (draws == 1).sum(1) / new_errors)):
        interval = found[name]
        assert interval is not None
        assert (interval.low, interval.high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])), abs=0.012)


def test_the_same_seed_gives_the_same_intervals() -> None:
    table = ContingencyTable(50, 12, 20, 15, 3)
    assert bootstrap(table, FLIP_METRICS) == bootstrap(table, FLIP_METRICS)
    assert bootstrap(table, FLIP_METRICS) != bootstrap(table, FLIP_METRICS, seed=1)


def test_an_interval_that_is_mostly_undefined_is_none() -> None:
    assert bootstrap(ContingencyTable(), {"nfr": nfr}) == {"nfr": None}
    assert bootstrap(ContingencyTable(both_right=9), {"nfr": nfr, "nfi": nfi}) == {
        "nfr": Interval(0.0, 0.0),
        "nfi": None,
    }
    assert percentile_interval([None, None, 1.0]) is None
    assert percentile_interval([]) is None


def test_the_noise_floor_is_the_mean_over_ordered_pairs() -> None:
    answers = [[1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 0]]

    def flips(i: int, j: int) -> ContingencyTable:
        lost = sum(old > new for old, new in zip(answers[i], answers[j], strict=True))
        return ContingencyTable(both_right=4 - lost, negative_flips=lost)

    assert noise_floor(flips, 3, nfr) == pytest.approx((0.25 + 0 + 0.25 + 0 + 0.25 + 0.25) / 6)
    assert noise_floor(flips, 1, nfr) is None
