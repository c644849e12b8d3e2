"""Jensen-Shannon divergence and ZRF: hand cases and SciPy."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from clbench.core.errors import MetricError
from clbench.scoring.divergence import jensen_shannon, zero_retrain_forgetting


def test_hand_cases() -> None:
    p, q = np.array([[0.3, 0.7], [1, 0], [0.9, 0.1]]), np.array([[0.3, 0.7], [0, 1], [0.5, 0.5]])
    np.testing.assert_allclose(jensen_shannon(p, q), [0, 0.693147, 0.101749], atol=1e-6)
    assert zero_retrain_forgetting(p[[0, 2]], q[[0, 2]]) == pytest.approx(0.949125, abs=1e-6)


@given(st.integers(0, 100), st.integers(2, 9))
def test_it_is_the_square_of_scipys_distance(seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    p, q = rng.dirichlet(np.full(classes, 0.3), (2, 8))
    p[0] = np.eye(classes)[0]
    found = jensen_shannon(p, q)
    np.testing.assert_allclose(found, jensenshannon(p, q, axis=1) ** 2, atol=1e-12)
    np.testing.assert_allclose(found, jensen_shannon(q, p), atol=1e-15)
    assert found.min() >= 0
    assert found.max() <= math.log(2) + 1e-12


def test_rows_that_are_no_distributions_are_refused() -> None:
    with pytest.raises(MetricError, match=r"one shape, got \(1, 2\) and \(1, 3\)"):
        jensen_shannon([[0.5, 0.5]], [[0.5, 0.5, 0.0]])
    for bad in ([[0.5, 0.6]], [[1.5, -0.5]], [[math.nan, 1.0]]):
        with pytest.raises(MetricError, match="sum to 1"):
            jensen_shannon(bad, [[0.5, 0.5]])
    with pytest.raises(MetricError, match="at least one sample, got none"):
        zero_retrain_forgetting(np.zeros((0, 2)), np.zeros((0, 2)))
