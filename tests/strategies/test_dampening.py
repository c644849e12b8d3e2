"""Selective synaptic dampening as arithmetic: hand cases, and what must hold for any importances."""

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import Tensor

from clbench.core.errors import TrainingError
from clbench.strategies._unlearning.dampening import (
    adaptive_percentile,
    dampened,
    dampening_factor,
    percentile,
    shuffled,
    unseen,
)

THETA, OVERALL, FORGOTTEN = (
    torch.tensor(values) for values in ([1.0, -2, 3, 4, 5], [1.0, 1, 2, 0, 0], [20.0, 9, 30, 1, 0])
)
Values = npt.NDArray[np.float32]
IMPORTANCES = arrays.arrays(
    np.float32, 12, elements=st.one_of(st.just(0.0), st.floats(2**-20, 2**20, width=32)), unique=False
)


def after(alpha: float, dampening: float, zero_unseen: bool = True) -> Tensor:
    """The weights of the hand case."""
    return dampened(THETA, dampening_factor(FORGOTTEN, OVERALL, alpha, dampening, zero_unseen=zero_unseen))


def test_the_hand_case() -> None:
    torch.testing.assert_close(after(10, 1), torch.tensor([0.05, -2, 0.2, 0, 5]))
    torch.testing.assert_close(after(10, 0.1), torch.tensor([0.005, -2, 0.02, 0, 5]))
    torch.testing.assert_close(after(10, 1, zero_unseen=False), torch.tensor([0.05, -2, 0.2, 4, 5]))
    assert unseen(FORGOTTEN, OVERALL).tolist() == [False, False, False, True, False]


def test_negative_weights_shrink_as_positive_ones_do() -> None:
    factor = dampening_factor(torch.tensor([20.0, 20]), torch.tensor([1.0, 1]), 10, 1, zero_unseen=False)
    torch.testing.assert_close(dampened(torch.tensor([2.0, -2]), factor), torch.tensor([0.1, -0.1]))


def test_towards_the_pretrained_weights() -> None:
    theta, origin, factor = torch.tensor([1.5, 1]), torch.tensor([1.0, 2]), torch.tensor([0.5, 0])
    assert dampened(theta, factor, origin).tolist() == [1.25, 2]


def test_the_threshold_itself_is_not_dampened() -> None:
    assert dampening_factor(torch.tensor(10.0), torch.tensor(1.0), 10, 1, zero_unseen=False) == 1


@given(IMPORTANCES, st.floats(1, 100))
def test_equal_importances_change_no_bit(values: Values, alpha: float) -> None:
    importance = torch.from_numpy(values)
    weight = torch.linspace(-3, 3, len(values))
    for zero_unseen in (False, True):
        factor = dampening_factor(importance, importance, alpha, 1, zero_unseen=zero_unseen)
        for origin in (None, torch.full_like(weight, 0.3)):
            assert torch.equal(dampened(weight, factor, origin), weight)


@given(IMPORTANCES, IMPORTANCES)
def test_an_infinite_threshold_changes_no_bit(forgotten: Values, overall: Values) -> None:
    f, d = torch.from_numpy(forgotten), torch.from_numpy(overall)
    assert bool((dampening_factor(f, d, math.inf, 1, zero_unseen=True) == 1).all())
    assert bool((dampening_factor(f, d, 2.0**50, 1, zero_unseen=False) == 1).all())  # ratios are at most 2^40


@given(IMPORTANCES, IMPORTANCES, st.integers(-20, 20), st.floats(0, 20), st.floats(0, 2))
def test_only_the_ratio_counts_and_no_sign_changes(
    forgotten: Values,
    overall: Values,
    power: int,
    alpha: float,
    dampening: float,
) -> None:
    f, d, scale = torch.from_numpy(forgotten), torch.from_numpy(overall), 2.0**power
    factor = dampening_factor(f, d, alpha, dampening, zero_unseen=True)
    assert torch.equal(factor, dampening_factor(scale * f, scale * d, alpha, dampening, zero_unseen=True))
    assert bool(((factor >= 0) & (factor <= 1)).all())
    weight = torch.linspace(-3, 3, len(forgotten))
    moved = dampened(weight, factor)
    assert bool((moved * weight >= 0).all())
    assert bool((moved.abs() <= weight.abs()).all())


@pytest.mark.parametrize(
    ("share", "q"), [(0.0, 100), (0.001, 99.90469), (0.01, 99.306853), (0.1, 97.602105), (0.5, 96.068174)]
)
def test_the_adaptive_percentile(share: float, q: float) -> None:
    assert adaptive_percentile(share) == pytest.approx(q, abs=1e-6 if share != 0.001 else 1e-5)


@given(st.integers(1, 400), st.floats(0.001, 0.9), st.integers(0, 9))
def test_the_adaptive_threshold_hits_the_share_above_the_percentile(n: int, share: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    ratios = 1 + torch.randperm(n, generator=generator).float()
    overall = torch.full((n,), 0.25)
    q = adaptive_percentile(share)
    alpha = percentile([ratios[: n // 2], ratios[n // 2 :]], q)
    factor = dampening_factor(ratios * overall, overall, alpha, 1, zero_unseen=False)
    assert int((factor < 1).sum()) == n - 1 - math.floor(q / 100 * (n - 1) + 1e-9)  # ranks above q, out of n distinct


def test_ratios_that_are_not_finite_have_no_rank() -> None:
    values = torch.tensor([1.0, math.inf, 2.0, math.nan, 4.0, -math.inf])
    assert percentile([values], 50) == 2.0
    assert percentile([values[:2], values[2:]], 75) == 3.0
    with pytest.raises(TrainingError, match="no parameter has a gradient"):
        percentile([torch.tensor([math.nan, math.inf])], 50)


def test_ranks_are_exact_among_many_values() -> None:
    n, first = 2**24 + 2**22, 2**24 + 12345
    values = torch.zeros(n)
    values[first:] = 1
    for rank, wanted in ((first - 1, 0.0), (first - 0.75, 0.25), (first - 0.5, 0.5), (first, 1.0)):
        assert percentile([values], 100 * rank / (n - 1)) == pytest.approx(wanted, abs=1e-6)


def test_shuffling_keeps_the_factors_and_moves_them() -> None:
    factor = torch.arange(60.0).view(5, 12) / 60
    other = shuffled(factor, torch.Generator().manual_seed(0))
    assert other.shape == factor.shape
    assert not torch.equal(other, factor)
    assert torch.equal(other.flatten().sort().values, factor.flatten())
