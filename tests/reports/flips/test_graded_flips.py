"""Gains and losses of graded scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clbench.core.errors import MetricError
from clbench.reports.flips.graded import change_histogram, graded_flips, graded_intervals

SCORES = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=60)


def test_scores_worked_by_hand() -> None:
    changes = change_histogram([0.5, 0.5, 0.5, 0.5], [0.9, 0.3, 0.48, 0.5])
    found = graded_flips(changes)
    assert (found.n, found.losses, found.gains, found.loss_rate, found.gain_rate) == (4, 2, 1, 0.5, 0.25)
    assert (found.mean_loss, found.mean_gain, found.mean_change) == pytest.approx((0.11, 0.4, 0.045))
    banded = graded_flips(changes, dead_band=0.05)
    assert (banded.losses, banded.gains) == (1, 1)
    assert (banded.mean_loss, banded.mean_change) == pytest.approx((0.2, 0.045))


def test_errors_are_turned_round() -> None:
    up, down = change_histogram([1.0, 2.0], [3.0, 1.5]), change_histogram([1.0, 2.0], [3.0, 1.5], lower_is_better=True)
    assert (graded_flips(up).gains, graded_flips(up).mean_gain) == (1, 2.0)
    assert (graded_flips(down).losses, graded_flips(down).mean_loss) == (1, 2.0)


def test_nothing_is_not_zero() -> None:
    none = graded_flips(change_histogram([], []))
    assert (none.loss_rate, none.mean_loss, none.mean_change) == (None, None, None)
    assert set(graded_intervals(change_histogram([], [])).values()) == {None}
    assert graded_flips(change_histogram([1.0], [1.0])).mean_loss is None
    for wrong in (-0.1, float("nan")):
        with pytest.raises(MetricError, match="dead-band"):
            graded_flips(change_histogram([], []), wrong)


@given(SCORES)
def test_rates_and_sizes_make_the_mean_change(pairs: list[tuple[float, float]]) -> None:
    old, new = np.array(pairs).T
    found = graded_flips(change_histogram(old, new))
    gains, losses = (found.gain_rate or 0) * (found.mean_gain or 0), (found.loss_rate or 0) * (found.mean_loss or 0)
    assert gains - losses == pytest.approx(found.mean_change or 0, abs=1e-9)
    assert found.mean_change == pytest.approx(new.mean() - old.mean(), abs=1e-9)


def test_the_intervals_are_those_of_resampled_answers() -> None:
    rng = np.random.default_rng(0)
    old, new = rng.random((2, 300))
    change = new - old
    draws = rng.choice(change, (20_000, 300))
    found = graded_intervals(change_histogram(old, new), resamples=20_000)
    losses = np.where(draws < 0, -draws, 0)
    for name, values in (
        ("mean_change", draws.mean(1)),
        ("loss_rate", (draws < 0).mean(1)),
        ("mean_loss", losses.sum(1) / (draws < 0).sum(1)),
    ):
        interval = found[name]
        assert interval is not None
        assert (interval.low, interval.high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])), abs=0.006)
