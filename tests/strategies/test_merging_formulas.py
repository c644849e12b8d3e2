"""Formulas of merging: values worked out by hand, independent implementations, and what must always hold."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft.utils.merge_utils import magnitude_prune, task_arithmetic
from peft.utils.merge_utils import ties as peft_ties
from torch import Tensor

from clbench.core.seeding import generator_for
from clbench.strategies._merging.aligned_pieces import aligned
from clbench.strategies._merging.largest_entries import larger_entries
from clbench.strategies._merging.norms_and_directions import mean_of_parts, orthogonalize, overlap
from clbench.strategies._merging.orthogonal_projection import crossing, project_out
from clbench.strategies._merging.random_drop import drop_and_rescale
from clbench.strategies._merging.sign_election import Function, ties, trim
from clbench.strategies._merging.task_vectors import dot, flat, norm, permuted, plus, share, unflat

Array = npt.NDArray[Any]
SEEDS = st.integers(0, 10**6)
HAND = ([3.0, 4.0, 0.5, 0.1, 0.2], [-1.0, 3.0, 0.5, 0.9, -0.2], [-1.0, 0.1, 0.0, -5.0, 0.2])
"""Three task vectors; the two largest entries of each are 3 and 4, 3 and -1, -5 and -1."""


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator_for(seed, "test"), dtype=torch.float64)


# Task vectors


def test_arithmetic_runs_over_all_tensors() -> None:
    one = {"w": torch.tensor([[3.0, 0.0]]), "b": torch.tensor([4.0])}
    assert float(norm(one)) == 5
    assert float(dot(one, plus(one, one, -3.0))) == -50
    assert [tensor.tolist() for tensor in unflat(flat(one), one).values()] == [[[3, 0]], [4]]
    assert float(share(torch.tensor(0.0), torch.tensor(0.0))) == 0


@given(SEEDS)
def test_permuted_tensors_have_their_entries_at_other_places(seed: int) -> None:
    vectors = {"w": normal(seed, 5, 4), "b": normal(seed + 1, 30)}
    found = permuted(vectors, generator_for(seed))
    for name, tensor in vectors.items():
        assert torch.equal(found[name].flatten().sort().values, tensor.flatten().sort().values)
        assert found[name].shape == tensor.shape
        assert not torch.equal(found[name], tensor)


# TIES


def numpy_ties(vectors: Sequence[Array], keep: float, function: Function) -> Array:
    """Algorithm 1 of the paper by its text, entry by entry; the sign of a zero sum is that of the sum of signs."""
    trimmed = []
    for vector in vectors:
        order = sorted(range(len(vector)), key=lambda place: (-abs(vector[place]), place))
        chosen = set(order[: max(1, round(keep * len(vector)))])
        trimmed.append([float(x) if place in chosen else 0.0 for place, x in enumerate(vector)])
    sums = [sum(column) for column in zip(*trimmed, strict=True)]
    usual = np.sign(sum(np.sign(x) for x in sums))
    merged = []
    for total, column in zip(sums, zip(*trimmed, strict=True), strict=True):
        sign = np.sign(total) if total else usual
        agreeing = [x for x in column if x and np.sign(x) == sign]
        merged.append(sum(agreeing) / (max(1, len(agreeing)) if function == "mean" else 1))
    return np.array(merged)


def merged_by_ties(vectors: Sequence[Tensor], keep: float, function: Function) -> Tensor:
    return ties([trim(vector, keep) for vector in vectors], len(vectors[0]), function)[0]


@pytest.mark.parametrize(("function", "wanted"), [("mean", [3, 3.5, 0, -5, 0]), ("sum", [3, 7, 0, -5, 0])])
def test_ties_by_hand(function: Function, wanted: list[float]) -> None:
    """Entry 0 has 3 - 1 - 1 > 0, so -1 is left out twice; trimming removes entries 2 and 4."""
    assert merged_by_ties([torch.tensor(x) for x in HAND], 0.4, function).tolist() == wanted


def test_trimming_keeps_an_exact_number_where_entries_are_equal() -> None:
    found = trim(torch.tensor([1.0, -1.0, 1.0, 1.0, 0.0]), 0.4)
    assert (found.places.tolist(), found.values.tolist()) == ([0, 1], [1, -1])
    assert len(trim(torch.arange(5.0), 1.0).values) == 5
    assert trim(torch.arange(5.0), 0.01).values.tolist() == [4]
    assert merged_by_ties([torch.zeros(0)], 0.2, "mean").shape == (0,)  # as of adapters that have not changed


def test_ties_says_how_much_of_the_last_task_enters() -> None:
    first, last = torch.tensor([2.0, 1.0, 0.0, 0.0]), torch.tensor([-1.0, 4.0, 3.0, 0.5])
    _, entering = ties([trim(first, 0.75), trim(last, 0.75)], 4, "sum")
    assert float(entering) == 16 + 9  # -1 has the wrong sign, 0.5 is trimmed


@given(SEEDS, st.integers(1, 5), st.sampled_from([0.05, 0.2, 0.5, 1.0]), st.sampled_from(["sum", "mean"]))
def test_ties_equals_an_independent_one(seed: int, tasks: int, keep: float, function: Function) -> None:
    vectors = list(normal(seed, tasks, 40).round(decimals=1))  # so that equal entries and zero sums happen
    wanted = numpy_ties([vector.numpy() for vector in vectors], keep, function)
    torch.testing.assert_close(merged_by_ties(vectors, keep, function), torch.from_numpy(wanted))


@given(SEEDS, st.sampled_from([0.2, 0.5, 1.0]))
@pytest.mark.filterwarnings("ignore:The density")
def test_ties_of_one_tensor_is_pefts(seed: int, keep: float) -> None:
    vectors = list(normal(seed, 3, 50).float())
    wanted = peft_ties(vectors, torch.ones(3), density=keep)
    torch.testing.assert_close(merged_by_ties(vectors, keep, "mean"), wanted)


@given(SEEDS, st.sampled_from([0.1, 0.2, 0.5, 1.0]))
@pytest.mark.filterwarnings("ignore:The density")
def test_trimming_and_adding_one_tensor_is_pefts(seed: int, keep: float) -> None:
    vectors, scales = list(normal(seed, 3, 50).float()), torch.full((3,), 0.3)
    found = torch.zeros(50)
    for vector in vectors:
        trimmed = trim(vector, keep)
        found[trimmed.places.long()] += 0.3 * trimmed.values
    torch.testing.assert_close(found, magnitude_prune(vectors, scales, density=keep))
    whole = {
        name: 0.3 * tensor
        for name, tensor in plus(plus({"w": vectors[0]}, {"w": vectors[1]}), {"w": vectors[2]}).items()
    }
    torch.testing.assert_close(whole["w"], task_arithmetic(vectors, scales))


@given(SEEDS, st.permutations(range(4)), st.sampled_from(["sum", "mean"]))
def test_the_order_of_tasks_does_not_matter_for_ties(seed: int, order: list[int], function: Function) -> None:
    vectors = list(normal(seed, 4, 40))
    found = merged_by_ties([vectors[i] for i in order], 0.3, function)
    torch.testing.assert_close(found, merged_by_ties(vectors, 0.3, function))


@given(SEEDS, st.integers(1, 5))
def test_ties_of_equal_task_vectors_is_the_trimmed_one(seed: int, tasks: int) -> None:
    vector = normal(seed, 40)
    once = merged_by_ties([vector], 0.3, "mean")
    torch.testing.assert_close(merged_by_ties([vector] * tasks, 0.3, "mean"), once)
    torch.testing.assert_close(merged_by_ties([vector] * tasks, 0.3, "sum"), tasks * once)
    assert torch.equal(merged_by_ties([vector], 1.0, "sum"), vector)


# DARE, MagMax


def test_dare_keeps_the_expectation() -> None:
    vectors = {"w": torch.ones(200, 200), "b": torch.full((300,), 2.0)}
    found = drop_and_rescale(vectors, 0.9, generator_for(0))
    assert found["w"].unique().tolist() == pytest.approx([0, 10])
    assert float(found["w"].mean()) == pytest.approx(1.0, abs=4 * 3 / 200)  # deviation 3 of an entry
    assert torch.equal(drop_and_rescale(vectors, 0.0, generator_for(0))["b"], vectors["b"])


def test_magmax_by_hand() -> None:
    running = {"w": torch.tensor(HAND[0])}
    for vector in HAND[1:]:
        running = larger_entries(running, {"w": torch.tensor(vector)})
    assert running["w"].tolist() == pytest.approx([3, 4, 0.5, -5, 0.2])  # of 0.2, -0.2 and 0.2 the last one


@given(SEEDS, st.integers(1, 5))
def test_folding_magmax_is_exact(seed: int, tasks: int) -> None:
    vectors = normal(seed, tasks, 30).round(decimals=1)
    running = {"w": vectors[0]}
    for vector in vectors[1:]:
        running = larger_entries(running, {"w": vector})
    size = vectors.abs()
    latest = tasks - 1 - size.flip(0).argmax(dim=0)  # of equal ones, the first from behind
    assert torch.equal(running["w"], vectors.gather(0, latest.unsqueeze(0)).squeeze(0))


# OPCM


def numpy_projected(tau: Array, offset: Array, alpha: float) -> Array:
    """The projection with full bases, as the released code has it."""
    u, s, vh = np.linalg.svd(offset, full_matrices=True)
    place = next((i for i in range(len(s)) if np.cumsum(s)[i] / np.cumsum(s)[-1] > alpha), 0)
    inside = u.T @ tau @ vh.T
    np.fill_diagonal(inside, 0.0)
    inside[:place, :place] = 0.0
    return np.asarray(u @ inside @ vh)


def numpy_opcm(taus: list[list[Array]], alpha: float) -> list[list[Array]]:
    """Offsets of all versions by the released recurrence: scale up, add, scale down; matrices are projected."""

    def size(parts: list[Array]) -> float:
        return float(np.sqrt(sum((part**2).sum() for part in parts)))

    offset, scale, norms, found = taus[0], 1.0, [size(taus[0])], [taus[0]]
    for tau in taus[1:]:
        norms.append(size(tau))
        new = [numpy_projected(t, d, alpha) if t.ndim == 2 else t for t, d in zip(tau, offset, strict=True)]
        total = [scale * d + t for d, t in zip(offset, new, strict=True)]
        scale = size(total) / float(np.mean(norms))
        offset = [part / scale for part in total]
        found.append(offset)
    return found


def test_opcm_by_hand() -> None:
    offset, tau = torch.diag(torch.tensor([4.0, 3.0, 2.0, 1.0])), torch.arange(1.0, 17.0).reshape(4, 4)
    values = torch.tensor([4.0, 3.0, 2.0, 1.0])
    assert [crossing(values, alpha) for alpha in (0.0, 0.5, 0.8, 1.0)] == [0, 1, 2, 0]
    wanted = [[0, 0, 3, 4], [0, 0, 7, 8], [9, 10, 0, 12], [13, 14, 15, 0]]
    torch.testing.assert_close(project_out(tau, offset, 0.8), torch.tensor(wanted, dtype=torch.float32))
    only_diagonal = tau - torch.diag(tau.diagonal())
    torch.testing.assert_close(project_out(tau, offset, 1.0), only_diagonal)


@given(SEEDS, st.sampled_from([(5, 5), (7, 4), (4, 7)]), st.sampled_from([0.2, 0.5, 0.8, 1.0]))
def test_the_thin_projection_equals_that_with_full_bases(seed: int, shape: tuple[int, int], alpha: float) -> None:
    tau, offset = normal(seed, *shape), normal(seed + 1, *shape)
    wanted = torch.from_numpy(numpy_projected(tau.numpy(), offset.numpy(), alpha))
    torch.testing.assert_close(project_out(tau, offset, alpha), wanted, rtol=0, atol=1e-12)


def test_beyond_the_rank_full_bases_are_arbitrary_and_the_thin_projection_is_not() -> None:
    left, right, tau = normal(0, 6, 2), normal(1, 2, 6), normal(2, 6, 6)
    u, s, vh = torch.linalg.svd(left @ right)
    turn = torch.linalg.qr(normal(3, 4, 4)).Q
    found = []
    for other in (u, torch.cat([u[:, :2], u[:, 2:] @ turn], dim=1)):  # two valid bases: values beyond 2 are 0
        torch.testing.assert_close(other @ torch.diag(s) @ vh, left @ right)
        inside = other.T @ tau @ vh.T
        inside.fill_diagonal_(0)
        found.append(other @ inside @ vh)
    assert float((found[0] - found[1]).norm()) > 0.5
    thin = project_out(tau, left @ right, 1.0)
    u, v = u[:, :2], vh[:2].T
    wanted = tau - sum(u[:, [i]] @ (u[:, [i]].T @ tau @ v[:, [i]]) @ v[:, [i]].T for i in range(2))
    torch.testing.assert_close(thin, wanted)


@given(SEEDS, st.sampled_from([0.3, 0.5, 0.9]))
def test_the_unscaled_sum_equals_the_released_recurrence(seed: int, alpha: float) -> None:
    taus = [[normal(seed + 10 * t, 6, 5) * (t + 1), normal(seed + 10 * t + 1, 6)] for t in range(4)]
    wanted = numpy_opcm([[part.numpy() for part in tau] for tau in taus], alpha)
    total, norms = taus[0], [float(norm({"w": taus[0][0], "b": taus[0][1]}))]
    for version, (w, b) in enumerate(taus[1:], 1):
        norms.append(float(norm({"w": w, "b": b})))
        total = [total[0] + project_out(w, total[0], alpha), total[1] + b]
        factor = float(np.mean(norms)) / float(norm({"w": total[0], "b": total[1]}))
        for part, other in zip(total, wanted[version], strict=True):
            torch.testing.assert_close(factor * part, torch.from_numpy(other), rtol=0, atol=1e-11)


def test_opcm_of_four_random_tasks_has_the_golden_numbers() -> None:
    """Task i of seed 7 has a weight of 8 x 6, i times normal, and a bias of 8: numbers of a NumPy reference."""
    rng = np.random.default_rng(7)
    total: dict[str, Tensor] = {}
    norms, found, emitted = [], [], []
    for task in range(1, 5):
        tau = {"w": torch.from_numpy(task * rng.normal(size=(8, 6))), "b": torch.from_numpy(rng.normal(size=8))}
        norms.append(float(norm(tau)))
        projected = {**tau, "w": project_out(tau["w"], total["w"], 0.5)} if total else tau
        total = plus(total, projected) if total else projected
        emitted.append(sum(norms) / task)
        found.append(float(norm(total)) / emitted[-1])
    assert emitted == pytest.approx([6.804907, 9.712304, 12.926524, 16.111862], abs=1e-6)
    assert found == pytest.approx([1, 1.4266, 1.80767, 2.140762], abs=1e-6)


@given(SEEDS, st.sampled_from([0.0, 0.5, 1.0]))
def test_nothing_is_left_of_the_same_task_vector(seed: int, alpha: float) -> None:
    tau = normal(seed, 6, 4)
    assert float(project_out(tau, tau, alpha).norm()) < 1e-12
    assert torch.equal(project_out(tau, torch.zeros_like(tau), alpha), tau)  # there are no directions yet


# KnOTS


def random_pairs(seed: int, tasks: int, rank: int = 2) -> list[tuple[Tensor, Tensor]]:
    return [(normal(seed + 2 * t, rank, 7), normal(seed + 2 * t + 1, 6, rank)) for t in range(tasks)]


@given(SEEDS, st.integers(1, 5))
def test_knots_of_the_mean_is_the_mean(seed: int, tasks: int) -> None:
    pairs = random_pairs(seed, tasks)
    basis, pieces = aligned(pairs)
    products = [b @ a for a, b in pairs]
    for piece, product in zip(pieces, products, strict=True):
        torch.testing.assert_close(basis @ piece, product, rtol=0, atol=1e-12)
    torch.testing.assert_close(basis @ torch.stack(pieces).mean(dim=0), torch.stack(products).mean(dim=0))
    torch.testing.assert_close(basis.T @ basis, torch.eye(basis.shape[1], dtype=torch.float64))
    side = torch.cat(pieces, dim=1)
    values = torch.linalg.svdvals(torch.cat(products, dim=1))
    torch.testing.assert_close(side.norm(dim=1), values[: len(side)])  # rows are orthogonal, of these lengths
    assert len(side) == min(6, 2 * tasks)


def test_small_singular_values_are_dropped() -> None:
    a, b = normal(0, 2, 7), torch.zeros(6, 2, dtype=torch.float64)
    basis, pieces = aligned([(a, b), (a, b)])
    assert basis.shape == (6, 0)
    assert [tuple(piece.shape) for piece in pieces] == [(0, 7), (0, 7)]


# DO-Merging


def test_norms_and_directions_by_hand() -> None:
    """Column norms are (3, 1) and (4, 2), their means 3.5 and 1.5; mean directions are (1/2, 1/2) each."""
    one, two = torch.tensor([[3.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.0, 2.0], [4.0, 0.0]])
    merged, lengths = mean_of_parts([one, two])
    torch.testing.assert_close(merged, torch.tensor([[1.75, 0.75], [1.75, 0.75]]))
    torch.testing.assert_close(lengths, torch.full((2,), 0.5**0.5))
    again, _ = mean_of_parts([one, two], renormalize=True)
    torch.testing.assert_close(again.norm(dim=0), torch.tensor([3.5, 1.5]))


def test_do_merging_of_three_random_adapters_has_the_golden_numbers() -> None:
    """Adapter i of seed 11 is i B A, with B 6 x 2 and A 2 x 5: a NumPy reference; step 1 is by plain descent."""
    rng = np.random.default_rng(11)
    b, a = zip(*((rng.normal(size=(6, 2)), task * rng.normal(size=(2, 5))) for task in (1, 2, 3)), strict=True)
    products = [torch.from_numpy(left @ right) for left, right in zip(b, a, strict=True)]
    assert float(mean_of_parts(products)[0].norm()) == pytest.approx(6.31487, abs=1e-6)
    assert float(sum(products).norm()) / 3 == pytest.approx(7.188484, abs=1e-6)  # type: ignore[union-attr]
    first = torch.from_numpy(np.concatenate(a))
    value, gradient = overlap(first, 3, torch.zeros_like(first), 1.0)
    assert float(value) == pytest.approx(243.925895, abs=1e-6)
    found = first
    for _ in range(50):
        found = found - 1e-3 * gradient
        value, gradient = overlap(found, 3, found - first, 1.0)
    assert float(value) == pytest.approx(11.6529432, abs=1e-6)


@given(SEEDS, st.integers(1, 4))
def test_identities_of_norms_and_directions(seed: int, tasks: int) -> None:
    w = normal(seed, 5, 4)
    w[:, 1] = 0.0
    torch.testing.assert_close(mean_of_parts([w] * tasks)[0], w)
    several = normal(seed + 1, tasks, 5, 4)
    several = several / several.norm(dim=1, keepdim=True)
    torch.testing.assert_close(mean_of_parts(list(several))[0], several.mean(dim=0))  # columns of equal norms
    assert float(mean_of_parts(list(several))[1].max()) <= 1 + 1e-12


@given(SEEDS)
def test_the_merged_update_stays_of_low_rank(seed: int) -> None:
    """B' = [B_1 ... B_n] and A' = A_i with columns scaled by mean norm / own norm / n, below one another."""
    pairs = random_pairs(seed, 3)
    products = [b @ a for a, b in pairs]
    mean = torch.stack([w.norm(dim=0) for w in products]).mean(dim=0)
    a = torch.cat([a * mean / w.norm(dim=0) / 3 for (a, _), w in zip(pairs, products, strict=True)])
    b = torch.cat([b for _, b in pairs], dim=1)
    torch.testing.assert_close(b @ a, mean_of_parts(products)[0])


@given(SEEDS, st.integers(2, 4), st.sampled_from([0.0, 1.0, 3.0]))
def test_the_overlap_and_its_gradient(seed: int, tasks: int, gamma: float) -> None:
    first, change = normal(seed, tasks * 2, 7), 0.1 * normal(seed + 1, tasks * 2, 7)
    value, gradient = overlap(first + change, tasks, change, gamma)
    factors = list((first + change).split(2))
    pairs = [(a, b) for i, a in enumerate(factors) for j, b in enumerate(factors) if i != j]
    wanted = sum(float((a @ b.T).square().sum()) for a, b in pairs) + gamma * float(change.square().sum())
    assert float(value) == pytest.approx(wanted)
    moved = change.clone().requires_grad_()
    (numeric,) = torch.autograd.grad(overlap(first + moved, tasks, moved, gamma)[0], moved)
    torch.testing.assert_close(gradient, numeric)


@given(SEEDS, st.permutations(range(3)))
def test_the_order_of_tasks_does_not_matter_for_do_merging(seed: int, order: list[int]) -> None:
    def merged(pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
        a = orthogonalize([a for a, _ in pairs], 1.0, 5, 0.01)
        b = orthogonalize([b.T for _, b in pairs], 1.0, 5, 0.01)
        return mean_of_parts([y.T @ x for x, y in zip(a, b, strict=True)])[0]

    pairs = random_pairs(seed, 3)
    torch.testing.assert_close(merged([pairs[i] for i in order]), merged(pairs), rtol=1e-6, atol=1e-6)


def test_factors_overlap_less_afterwards() -> None:
    factors = [a for a, _ in random_pairs(0, 3)]
    stacked = torch.cat(factors)
    before, _ = overlap(stacked, 3, torch.zeros_like(stacked), 1.0)
    changed = torch.cat(orthogonalize(factors, 1.0, 100, 0.01))
    after, _ = overlap(changed, 3, changed - stacked, 1.0)
    assert float(after) < 0.5 * float(before)
    assert torch.equal(torch.cat(orthogonalize(factors, 1.0, 100, 0.01)), changed)
    alone = orthogonalize(factors[:1], 1.0, 10, 0.01)
    torch.testing.assert_close(alone[0], factors[0])
