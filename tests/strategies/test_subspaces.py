"""Retained subspaces against NumPy in float64, singular value decompositions, counting, and PEFT's."""

from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from clbench.core.errors import TrainingError
from clbench.strategies._linalg.retained_layers import Retained, in_groups
from clbench.strategies._linalg.subspaces import Form, Subspace, by_complement, decompose, freedom, stored

Array: TypeAlias = np.ndarray[Any, Any]
FORMS: tuple[Form, ...] = ("factor", "block")

cases = st.tuples(st.integers(1, 9), st.integers(0, 8), st.integers(0, 10**6)).flatmap(
    lambda drawn: st.tuples(
        st.just(drawn[0] + drawn[1]), st.just(drawn[0]), st.integers(1, drawn[0]), st.just(drawn[2])
    )
)
"""Rows, columns (no more than rows), rank and seed."""


def random(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def projectors(w: Tensor, rank: int) -> tuple[Array, Array]:
    """P_U and P_V of the first triplets, from NumPy's decomposition in float64."""
    u, _, vt = np.linalg.svd(w.double().numpy(), full_matrices=False)
    return u[:, :rank] @ u[:, :rank].T, vt[:rank].T @ vt[:rank]


def twin(x: Tensor, w: Tensor, rank: int, form: Form) -> Array:
    """The projection as the paper writes it."""
    left, right = projectors(w, rank)
    values = x.double().numpy()
    if form == "block":
        return np.asarray(values - left @ values @ right)
    return np.asarray((np.eye(len(left)) - left) @ values @ (np.eye(len(right)) - right))


def angle(found: Tensor, basis: Array) -> float:
    """Sine of the largest angle between what `found` spans and what the orthonormal columns of `basis` do."""
    columns = np.linalg.qr(found.double().numpy())[0]
    return float(np.linalg.norm(columns - basis @ (basis.T @ columns), 2))


def projected(space: Subspace, x: Tensor) -> Tensor:
    result = x.clone().unsqueeze(0) if x.ndim == 2 else x.clone()
    space.project_(result)
    return result[0] if x.ndim == 2 else result


@pytest.mark.parametrize("form", FORMS)
@given(case=cases)
@settings(max_examples=60)
def test_projections_are_those_of_numpy_idempotent_and_symmetric(form: Form, case: tuple[int, int, int, int]) -> None:
    rows, columns, rank, seed = case
    w, x, y = (random(seed + i, rows, columns) for i in range(3))
    space = decompose(w.unsqueeze(0), [rank], form)
    once = projected(space, x)
    np.testing.assert_allclose(once.numpy(), twin(x, w, rank, form), atol=1e-6)
    torch.testing.assert_close(projected(space, once), once, atol=1e-9, rtol=0)
    torch.testing.assert_close((once * y).sum(), (x * projected(space, y)).sum(), atol=1e-8, rtol=0)


@pytest.mark.parametrize("form", FORMS)
@given(case=cases)
@settings(max_examples=30)
def test_the_space_has_as_many_dimensions_as_counted(form: Form, case: tuple[int, int, int, int]) -> None:
    """A whole basis is projected; the trace of a projection is its rank, and so is the rank of what comes out."""
    rows, columns, rank, seed = case
    space = decompose(random(seed, 1, rows, columns), [rank], form)
    outcomes = torch.stack(
        [projected(space, unit.reshape(rows, columns)).flatten() for unit in torch.eye(rows * columns).double()]
    )
    wanted = freedom((rows, columns), rank, form)
    assert wanted == ((rows - rank) * (columns - rank) if form == "factor" else rows * columns - rank**2)
    assert float(outcomes.trace()) == pytest.approx(wanted, abs=1e-8)
    assert int(torch.linalg.matrix_rank(outcomes, atol=1e-6)) == wanted


@given(case=cases)
@settings(max_examples=30)
def test_the_order_of_the_sides_does_not_matter(case: tuple[int, int, int, int]) -> None:
    rows, columns, rank, seed = case
    w, x = random(seed, rows, columns), random(seed + 1, rows, columns)
    left, right = projectors(w, rank)
    space = decompose(w.unsqueeze(0), [rank], "factor")
    for first_left in (True, False):
        values = x.numpy()
        for is_left in (first_left, not first_left):
            values = values - left @ values if is_left else values - values @ right
        np.testing.assert_allclose(projected(space, x).numpy(), values, atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("rows", "columns", "rank"), [(64, 64, 10), (64, 64, 50), (96, 32, 8), (96, 32, 31)])
def test_float32_matrices_are_reconstructed_and_their_triplets_found(
    rows: int, columns: int, rank: int, form: Form
) -> None:
    w = random(1, 1, rows, columns, dtype=torch.float32)
    space = decompose(w, [rank], form)
    u, s, vt = np.linalg.svd(w[0].double().numpy(), full_matrices=False)
    assert angle(space.left[0], u[:, :rank]) < 1e-4
    assert angle(space.anchor[0].T, vt[:rank].T) < 1e-4
    np.testing.assert_allclose(np.linalg.norm(space.anchor[0].numpy(), axis=1), s[:rank], rtol=1e-5)
    again = w.clone()
    space.restore_(again)
    assert float((again - w).norm() / w.norm()) < 1e-6
    assert float(space.leak(w)) < 1e-6


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rank", [2, 5])
def test_of_any_change_only_the_allowed_part_remains(form: Form, rank: int) -> None:
    w, change = random(3, 9, 6, dtype=torch.float32), random(4, 9, 6, dtype=torch.float32)
    space = decompose(w.unsqueeze(0), [rank], form)
    moved = (w + change).unsqueeze(0)
    left, right = projectors(w, rank)
    inside = left @ change.double().numpy() @ right
    outside = twin(change, w, rank, "factor") if form == "factor" else change.double().numpy() - inside
    away = np.linalg.norm(change.double().numpy() - outside) / np.linalg.norm(
        np.linalg.svd(w.double().numpy(), compute_uv=False)[:rank]
    )
    assert float(space.leak(moved)) == pytest.approx(float(away), rel=1e-4)
    space.restore_(moved)
    np.testing.assert_allclose((moved[0] - w).numpy(), outside, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "w",
    [torch.zeros(1, 8, 5), torch.ones(1, 8, 5), torch.diag(torch.tensor([1.0, 1e-6, 1e-9, 0.0])).unsqueeze(0)],
    ids=["zero", "rank one", "tiny values"],
)
def test_matrices_without_full_rank_have_orthonormal_bases_and_stay_where_they_are(w: Tensor, form: Form) -> None:
    for rank in range(1, w.shape[2] + 1):
        space = decompose(w, [rank], form)
        torch.testing.assert_close(space.left[0].T @ space.left[0], torch.eye(rank), atol=1e-6, rtol=0)
        again = w.clone()
        space.restore_(again)
        torch.testing.assert_close(again, w, atol=1e-6, rtol=0)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("ranks", [[1, 2, 3], [4, 5, 6], [1, 6, 2]])
def test_matrices_of_several_ranks_together_are_what_they_are_alone(form: Form, ranks: list[int]) -> None:
    w, x = random(5, 3, 8, 6), random(6, 3, 8, 6)
    together = projected(decompose(w, ranks, form), x)
    restored = w + x
    decompose(w, ranks, form).restore_(restored)
    for i, rank in enumerate(ranks):
        alone = decompose(w[i : i + 1], [rank], form)
        torch.testing.assert_close(together[i], projected(alone, x[i]), atol=1e-9, rtol=0)
        torch.testing.assert_close(restored[i], w[i] + together[i], atol=1e-9, rtol=0)


@given(rows=st.integers(1, 40), columns=st.integers(1, 40), rank=st.integers(1, 40), form=st.sampled_from(FORMS))
def test_the_cheaper_basis_is_kept_and_its_size_is_told(rows: int, columns: int, rank: int, form: Form) -> None:
    rows, columns = max(rows, columns), min(rows, columns)
    rank = min(rank, columns)
    space = decompose(random(0, 1, rows, columns, dtype=torch.float32), [rank], form)
    held = sum(tensor.numel() for tensor in (space.left, space.right, space.anchor))
    assert stored((rows, columns), rank, form) == stored((columns, rows), rank, form) == held
    m, n, k = rows, columns, rank
    if form == "factor":
        by_kept, by_rest = 4 * m * n * k, m * n * (n - k) + 2 * m * k * (n - k) + m * n * (n - k)
    else:
        by_kept, by_rest = 2 * m * n * k + 2 * n * k * k, 2 * m * n * k + 2 * n * k * (n - k)
    assert by_complement(n, k, form) == (by_rest < by_kept)
    assert min(by_kept, by_rest) <= m * n * (m + n)  # by dense projectors


def test_layers_of_both_orientations_are_grouped_by_shape_and_projected_in_place() -> None:
    shapes = {"a": (6, 4), "b": (4, 6), "c": (6, 4), "d": (5, 5), "free": (6, 4)}
    weights = {name: nn.Parameter(random(i, *shape)) for i, (name, shape) in enumerate(shapes.items())}
    for i, weight in enumerate(weights.values()):
        weight.grad = random(10 + i, *weight.shape)
    weights["c"].grad = None
    before = {name: (w.detach().clone(), None if w.grad is None else w.grad.clone()) for name, w in weights.items()}
    ranks = {"a": 1, "b": 2, "c": 3, "d": 4, "free": 0}
    groups = list(in_groups(weights, ranks, "factor"))
    assert sorted(sorted(group.names) for group in groups) == [["a", "c"], ["b"], ["d"]]
    with torch.no_grad():
        for group in groups:
            group.project_gradients()
        for weight in weights.values():
            weight.add_(1.0)
        assert all(float(group.leak().max()) > 0.01 for group in groups)
        for group in groups:
            group.restore_weights()
    for name, (w, grad) in before.items():
        allowed = np.ones(w.shape) if name == "free" else twin(torch.ones_like(w), w, ranks[name], "factor")
        np.testing.assert_allclose((weights[name].detach() - w).numpy(), allowed, atol=1e-9)
        found = weights[name].grad
        assert (found is None) == (grad is None)
        if found is not None and grad is not None:
            wanted = grad.numpy() if name == "free" else twin(grad, w, ranks[name], "factor")
            np.testing.assert_allclose(found.numpy(), wanted, atol=1e-9)


def test_a_matrix_that_is_not_finite_is_told_by_the_layers_name() -> None:
    good, bad = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.tensor([[1.0, torch.nan], [0.0, 1.0]]))
    with pytest.raises(TrainingError, match=r"layer bad\.one: its weights are not finite before the task"):
        Retained(["good", "bad.one"], [good, bad], [1, 1], "factor")


def test_a_decomposition_that_fails_is_told_by_the_layers_name() -> None:
    """Finite in float64, but not when squared."""
    with pytest.raises(TrainingError, match=r"layer huge: its decomposition failed: .*converge"):
        Retained(["huge"], [nn.Parameter(torch.full((3, 3), 1e200, dtype=torch.float64))], [1], "factor")


@pytest.mark.parametrize(("rows", "columns", "rank"), [(24, 24, 8), (24, 24, 18), (40, 16, 8), (16, 40, 8)])
def test_pefts_osf_retains_the_same_directions(rows: int, columns: int, rank: int) -> None:
    from peft.tuners.osf.utils import decompose_weight_matrix

    w = random(7, rows, columns, dtype=torch.float32)
    theirs = decompose_weight_matrix(w, rank)
    space = decompose((w if rows >= columns else w.T).unsqueeze(0), [rank], "factor")
    left = theirs["U_high"] if rows >= columns else theirs["V_high"].T
    assert angle(space.left[0], left.double().numpy()) < 1e-4
    low = theirs["U_low"].detach() @ torch.diag(theirs["S_low"].detach()) @ theirs["V_low"].detach()
    held = (space.left @ space.anchor)[0]
    torch.testing.assert_close((held if rows >= columns else held.T) + low, w, atol=2e-5, rtol=0)
