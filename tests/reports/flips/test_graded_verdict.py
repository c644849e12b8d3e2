"""The permutation test of graded scores: by hand, against scipy, and by simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import TTestPower
from tests.reports.flips.ledgers import graded, table

from clbench.reports.flips import graded_verdict
from clbench.reports.flips.comparison import compare
from clbench.reports.flips.graded import ChangeHistogram, change_histogram, graded_intervals
from clbench.reports.flips.graded_verdict import graded_verdicts, sign_flip_p
from clbench.reports.flips.predictions import Predictions


def histogram(changes: list[float]) -> ChangeHistogram:
    return change_histogram(np.zeros(len(changes)), changes)


def test_by_hand() -> None:
    assert sign_flip_p(histogram([0.0, 0.0])) == 1.0
    assert sign_flip_p(histogram([0.1, 0.2, 0.3])) == 2 / 8
    assert sign_flip_p(histogram([0.1, -0.1])) == 1.0
    # the sums are 0.6, 0.4, 0.2 and 0 with both signs: four of eight are at least 0.4 in size
    assert sign_flip_p(histogram([0.3, 0.2, -0.1])) == 4 / 8
    assert sign_flip_p(histogram([1.0] * 6 + [0.0] * 50)) == 2 / 64


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-5, 5).map(lambda x: x / 10), min_size=2, max_size=9))
def test_small_samples_are_those_of_scipy(changes: list[float]) -> None:
    found = stats.permutation_test(
        (np.array(changes), np.zeros(len(changes))),
        lambda x, y, axis: np.round((x - y).sum(axis), 9),
        permutation_type="samples",
        vectorized=True,
        n_resamples=2**10,
    )
    assert sign_flip_p(histogram(changes)) == pytest.approx(found.pvalue)


@pytest.mark.parametrize("n", [40, 3000])
def test_draws_are_those_of_all_signs_within_their_error(n: int) -> None:
    changes = np.random.default_rng(5).normal(1.6 / np.sqrt(n), 1, n)
    z = changes.sum() / np.sqrt((changes**2).sum())
    close = 2 * stats.norm.sf(abs(z))  # the distribution over signs is nearly normal
    assert sign_flip_p(histogram(changes.tolist())) == pytest.approx(close, abs=0.015)


def test_groups_give_what_single_changes_give(monkeypatch: pytest.MonkeyPatch) -> None:
    changes = histogram(np.random.default_rng(6).integers(-4, 6, 400).tolist())
    single = sign_flip_p(changes)
    assert single == sign_flip_p(changes)
    monkeypatch.setattr(graded_verdict, "MAX_UNGROUPED", 100)
    assert sign_flip_p(changes) == pytest.approx(single, abs=0.01)


def test_without_a_change_one_of_twenty_is_called_one() -> None:
    rng = np.random.default_rng(7)
    found = [sign_flip_p(histogram((rng.exponential(1, 12) * rng.choice([-1, 1], 12)).tolist())) for _ in range(1500)]
    assert 0.035 <= np.mean(np.array(found) <= 0.05) <= 0.065


def test_the_verdict_of_a_task() -> None:
    rng = np.random.default_rng(8)
    up, flat = rng.normal(0.2, 0.3, 200), rng.normal(0.01, 0.3, 200)
    found = graded_verdicts({"up": histogram(up.tolist()), "flat": histogram(flat.tolist())})
    assert (found["up"].outcome, found["up"].more) == ("better", None)
    assert found["up"].interval.low < up.mean() < found["up"].interval.high
    flat_verdict = found["flat"]
    assert flat_verdict.outcome == "inconclusive"
    assert flat_verdict.change == pytest.approx(flat.mean())
    effect = TTestPower().solve_power(nobs=200, alpha=0.05 / 2, power=0.8)
    assert flat_verdict.detectable == pytest.approx(effect * flat.std(ddof=1), rel=0.01)
    needed = TTestPower().solve_power(flat.mean() / flat.std(ddof=1), alpha=0.05 / 2, power=0.8)
    assert flat_verdict.more == pytest.approx(needed - 200, rel=0.02)


def test_a_comparison_has_verdicts_by_task() -> None:
    old = graded([0.5] * 8) + graded([0.5] * 8, task="other")
    new = graded([0.6] * 8) + graded([0.4, 0.6] * 4, task="other")
    found = compare(Predictions("old", table(old)), Predictions("new", table(new)))
    assert {task: verdict.outcome for task, verdict in found.graded_verdicts.items()} == {
        "texts": "better",
        "other": "inconclusive",
    }
    assert found.graded_verdicts["texts"].p == pytest.approx(2 * 2 / 256)
    assert found.graded_verdicts["other"].more is None  # the mean change is 0


def test_intervals_of_the_mean_change_hold_it_as_often_as_they_say() -> None:
    rng = np.random.default_rng(9)
    held = 0
    for seed in range(500):
        changes = histogram((rng.gamma(2, 0.1, 80) - 0.1).tolist())  # the mean is 0.1
        found = graded_intervals(changes, resamples=300, seed=seed)["mean_change"]
        assert found is not None
        held += found.low <= 0.1 <= found.high
    assert 0.93 <= held / 500 <= 0.97
