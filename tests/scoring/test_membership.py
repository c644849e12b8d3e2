"""Membership attacks: hand cases, counting over all pairs, scikit-learn and SciPy."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy
from sklearn.metrics import log_loss, roc_auc_score

from clbench.core.errors import MetricError
from clbench.scoring.membership import (
    FEW,
    auc_interval,
    log_likelihood,
    logistic_membership,
    membership_auc,
    negative_entropy,
)

SCORES = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=12)


def test_the_entropy() -> None:
    found = negative_entropy([[0.5, 0.5], [0.9, 0.1], [1.0, 0.0]])
    np.testing.assert_allclose(found, [-0.693147, -0.325083, 0], atol=1e-6)
    p = np.random.default_rng(0).dirichlet(np.ones(7), 20)
    np.testing.assert_allclose(negative_entropy(p), -entropy(p, axis=1))


def test_the_likelihood() -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(4), 30)
    labels = np.arange(30) % 4
    assert log_likelihood(p, labels).mean() == pytest.approx(-log_loss(labels, p))
    assert log_likelihood([[0.0, 1.0]], [0]).tolist() == [-math.inf]


def test_the_auc_by_hand() -> None:
    found = membership_auc(-np.array([0.1, 0.2, 0.9]), -np.array([0.3, 0.8]))
    assert found.value == pytest.approx(0.666667, abs=1e-6)
    assert membership_auc([1, 1], [1]).value == 0.5
    assert membership_auc([-math.inf, 0], [-math.inf]).value == 0.75


@given(SCORES, SCORES)
def test_the_auc_counts_pairs(members: list[float], others: list[float]) -> None:
    pairs = [(m > o) + 0.5 * (m == o) for m in members for o in others]
    value = membership_auc(members, others).value
    assert value == pytest.approx(sum(pairs) / len(pairs))
    truth = [1] * len(members) + [0] * len(others)
    assert value == pytest.approx(roc_auc_score(truth, members + others))
    assert membership_auc(others, members).value == pytest.approx(1 - value)


def test_an_auc_of_nothing_is_refused() -> None:
    for members, others in (([], [1.0]), ([1.0], []), ([math.nan], [1.0])):
        with pytest.raises(MetricError, match="wanted scores that are numbers, at least one of each kind"):
            membership_auc(members, others)


def test_few_members_have_an_interval() -> None:
    members, others = np.arange(FEW) + 0.5, np.arange(80) / 2
    assert membership_auc(members, others).interval is None
    found = membership_auc(members[:-1], others)
    assert found.interval is not None
    assert found.interval[0] < found.value < found.interval[1]


@given(st.floats(0, 1), st.integers(1, 49), st.integers(1, 200))
def test_the_interval_against_a_search_over_a_grid(value: float, members: int, others: int) -> None:
    area = np.linspace(0, 1, 4001)
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (members - 1) * (q1 - area**2) + (others - 1) * (q2 - area**2)
    inside = area[np.abs(value - area) <= 1.959964 * np.sqrt(np.maximum(variance, 0) / (members * others)) + 1e-12]
    low, high = auc_interval(value, members, others)
    assert 0 <= low <= value <= high <= 1
    if len(inside):
        assert (low, high) == pytest.approx((inside.min(), inside.max()), abs=5e-4)
    mirrored = auc_interval(1 - value, others, members)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_the_interval_has_a_width_where_all_members_are_found() -> None:
    low, high = auc_interval(1.0, 5, 5)
    assert 0.5 < low < 0.9
    assert high == 1


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    true = 0.760250  # P(X > Y) for normals one apart: Phi(1 / sqrt 2)
    inside = 0
    for _ in range(400):
        found = membership_auc(rng.normal(1, 1, 20), rng.normal(0, 1, 30))
        assert found.interval is not None
        inside += found.interval[0] <= true <= found.interval[1]
    assert 0.92 <= inside / 400 <= 0.99


def test_a_regression_finds_the_side_of_the_border() -> None:
    retained, held_out = np.linspace(0, 0.4, 90), np.linspace(0.6, 1, 30)
    assert logistic_membership(retained, held_out, [0.1, 0.2, 0.3, 0.9]) == 0.75
    assert logistic_membership(retained, held_out, [0.45, 0.55]) == 0.5  # balanced: the border is in the middle
    with pytest.raises(MetricError, match="three kinds of samples, got 90, 30, 0"):
        logistic_membership(retained, held_out, [])


def test_the_regression_is_that_of_weighted_likelihood() -> None:
    """Newton's method on the balanced, L2-penalised likelihood, written out."""
    rng = np.random.default_rng(1)
    retained, held_out, forgotten = rng.gamma(1, 1, 120), rng.gamma(2, 1, 40), rng.gamma(1.5, 1, 200)
    x = np.concatenate([retained, held_out])
    y = np.repeat([1.0, 0.0], [120, 40])
    weight = np.where(y == 1, 160 / (2 * 120), 160 / (2 * 40))
    features, beta = np.stack([x, np.ones_like(x)], axis=1), np.zeros(2)
    penalty = np.diag([1.0, 0.0])
    for _ in range(30):
        p = 1 / (1 + np.exp(-features @ beta))
        gradient = features.T @ (weight * (p - y)) + penalty @ beta
        beta -= np.linalg.solve((features.T * (weight * p * (1 - p))) @ features + penalty, gradient)
    share = np.mean(beta[0] * forgotten + beta[1] > 0)
    assert logistic_membership(retained, held_out, forgotten) == pytest.approx(share, abs=0.006)
