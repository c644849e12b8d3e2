"""The Bayesian signed rank test: by hand, and against baycomp."""

from itertools import pairwise

import numpy as np
import pytest
from baycomp import SignedRankTest
from hypothesis import given, settings
from hypothesis import strategies as st

from clbench.core.errors import MetricError
from clbench.reports.statistics.signed_rank_posterior import signed_rank_posterior


@pytest.mark.parametrize("seed", range(3))
def test_it_is_that_of_baycomp(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.normal(0.6, 1, 12), rng.normal(0, 1, 12)
    found = signed_rank_posterior((one - other).tolist(), 0.5)
    wanted = SignedRankTest.probs(other, one, rope=0.5, nsamples=5000, random_state=seed)
    assert (found.worse, found.equivalent, found.better) == pytest.approx(wanted, abs=0.03)


def test_one_task_by_hand() -> None:
    """With weight w ~ Beta(1, 0.5) on the difference, above the region lie w^2 + w (1 - w) = w, within it 1 - w."""
    found = signed_rank_posterior([3.0], 1.0)  # pairs: 3 + 3 and 3 + 0 above 2, 0 + 0 within
    # above: w^2 + 2 w (1 - w) = 1 - (1 - w)^2 >= 1/2 where 1 - w <= sqrt(1/2); P = 1 - P(Beta(0.5, 1) > sqrt(1/2))
    assert found.better == pytest.approx(0.5**0.25, abs=0.01)
    assert (found.worse, found.equivalent) == pytest.approx((0, 1 - 0.5**0.25), abs=0.01)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=12), st.floats(0.01, 3))
def test_a_probability_and_its_mirror(differences: list[float], region: float) -> None:
    found = signed_rank_posterior(differences, region, draws=500)
    mirrored = signed_rank_posterior([-x for x in differences], region, draws=500)
    assert (mirrored.better, mirrored.worse) == (found.worse, found.better)
    assert found.worse + found.equivalent + found.better == pytest.approx(1)


def test_a_wider_region_is_more_often_equivalent() -> None:
    differences = np.linspace(-0.5, 1.5, 9).tolist()
    found = [signed_rank_posterior(differences, region).equivalent for region in (0, 0.2, 0.5, 1, 2)]
    assert all(one <= other for one, other in pairwise(found))
    assert found[-1] > 0.99


def test_bad_input() -> None:
    for differences, region in (([], 1.0), ([float("nan")], 1.0), ([1.0], -1.0), ([1.0], float("nan"))):
        with pytest.raises(MetricError, match="finite differences and a region"):
            signed_rank_posterior(differences, region)
