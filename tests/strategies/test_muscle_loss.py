"""MUSCLE's loss: three tokens worked out on paper for every mask, a NumPy twin, direction, temperature, no T^2."""

from math import log
from typing import Any, get_args

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from clbench.contracts import TokenScores
from clbench.strategies._distillation import teacher_outputs
from clbench.strategies._distillation.teacher_outputs import (
    SoftTargets,
    TeacherOutput,
    divergence,
    output_of,
    top_k_targets,
    units_at_once,
)
from clbench.strategies.muscle import Mask, MuscleConfig, distillation, imitates_old

MASKS: tuple[Mask, ...] = get_args(Mask)
Matrix = NDArray[np.float64]

# A vocabulary of two and three tokens of one sequence, whose right ones are 0, 0, 1. Scores are such that at
# temperature 2 the probabilities are simple:      and so, at temperature 1, with squared odds, the right token's:
#   student  (3/4, 1/4)  (1/4, 3/4)  (1/4, 3/4)      9/10   1/10   9/10    right, wrong, right
#   old      (1/3, 2/3)  (1/3, 2/3)  (1/5, 4/5)      1/5    1/5    16/17   wrong, wrong, right
#   new      (1/2, 1/2)  (1/2, 1/2)  (1/2, 1/2)
STUDENT = [[2 * log(3), 0], [0, 2 * log(3)], [0, 2 * log(3)]]
OLD = [[0, 2 * log(2)], [0, 2 * log(2)], [0, 2 * log(4)]]
NEW = [[0, 0], [0, 0], [0, 0]]
RIGHT = [0, 0, 1]
TO_OLD = (
    1 / 3 * log((1 / 3) / (3 / 4)) + 2 / 3 * log((2 / 3) / (1 / 4)),  # 0.3836
    1 / 3 * log((1 / 3) / (1 / 4)) + 2 / 3 * log((2 / 3) / (3 / 4)),  # 0.0174
    1 / 5 * log((1 / 5) / (1 / 4)) + 4 / 5 * log((4 / 5) / (3 / 4)),  # 0.0070
)
TO_NEW = 1 / 2 * log((1 / 2) / (3 / 4)) + 1 / 2 * log((1 / 2) / (1 / 4))  # 0.1438, at each token
BY_HAND: dict[Mask, tuple[tuple[bool, bool, bool], float]] = {
    "student-wrong": ((False, True, False), (TO_NEW + TO_OLD[1] + TO_NEW) / 3),
    "old-right": ((False, False, True), (TO_NEW + TO_NEW + TO_OLD[2]) / 3),
    "old-only": ((True, True, True), sum(TO_OLD) / 3),
    "token-likelihood": ((False, True, True), (TO_NEW + TO_OLD[1] + TO_OLD[2]) / 3),  # 1/10 < 1/5, 9/10 < 16/17
    "sequence-likelihood": ((False, False, False), TO_NEW),  # 9/10 1/10 9/10 = 0.081 > 1/5 1/5 16/17 = 0.038
}


def units(scores: Any, right: Any, sequence: Any = None) -> TokenScores:
    logits = torch.as_tensor(np.asarray(scores), dtype=torch.float64).float().requires_grad_()
    place = torch.zeros(len(logits), dtype=torch.int64) if sequence is None else torch.as_tensor(sequence)
    return TokenScores(logits, torch.as_tensor(right), place)


def output(scores: Any, right: Any) -> TeacherOutput:
    return output_of(units(scores, right))


def targets(scores: Any, temperature: float = 2.0, top_k: int | None = None) -> SoftTargets:
    return top_k_targets(torch.as_tensor(np.asarray(scores)).float(), temperature, top_k)


@pytest.mark.parametrize("mask", MASKS)
def test_three_tokens_by_hand(mask: Mask) -> None:
    student, old = units(STUDENT, RIGHT), output(OLD, RIGHT)
    wanted_mask, wanted = BY_HAND[mask]
    assert imitates_old(mask, student, old).tolist() == list(wanted_mask)
    new = None if mask == "old-only" else output(NEW, RIGHT)
    assert float(distillation(mask, student, old, new, 2.0).detach()) == pytest.approx(wanted, rel=1e-5)


def test_a_sequence_is_masked_as_a_whole_and_apart_from_others() -> None:
    student, old = units(STUDENT, RIGHT, [0, 1, 1]), output(OLD, RIGHT)
    # 9/10 > 1/5 in the first; 1/10 9/10 = 0.09 < 1/5 16/17 = 0.188 in the second.
    assert imitates_old("sequence-likelihood", student, old).tolist() == [False, True, True]


def test_the_teacher_comes_first_in_the_divergence() -> None:
    one, two = [[2 * log(3), 0.0]], [[0.0, 0.0]]  # (3/4, 1/4) and (1/2, 1/2)
    forward = divergence(torch.tensor(two), targets(one), 2.0)
    backward = divergence(torch.tensor(one), targets(two), 2.0)
    assert float(forward) == pytest.approx(3 / 4 * log(3 / 2) + 1 / 4 * log(1 / 2), rel=1e-5)
    assert float(backward) == pytest.approx(TO_NEW, rel=1e-5)


def test_temperature_divides_the_scores_and_nothing_multiplies_the_result() -> None:
    student, teacher = torch.tensor([[1.0, 2.0, 4.0]]), [[2.0, 0.0, 1.0]]
    at_three = divergence(3 * student, targets(3 * np.asarray(teacher)), 3.0)
    torch.testing.assert_close(at_three, divergence(student, targets(teacher), 1.0))


def softened(scores: Matrix, temperature: float) -> Matrix:
    powers = np.exp((scores - scores.max(axis=1, keepdims=True)) / temperature)
    shares: Matrix = powers / powers.sum(axis=1, keepdims=True)
    return shares


def twin(mask: Mask, student: Matrix, old: Matrix, new: Matrix, right: Any, place: Any, temperature: float) -> float:
    """The paper's Eq. 1 to 5, token by token, from the definitions."""
    total = 0.0
    n = len(right)
    for i in range(n):
        same = [j for j in range(n) if place[j] == place[i]]
        p = {name: softened(scores, 1.0) for name, scores in (("student", student), ("old", old))}
        m = {
            "student-wrong": student[i].argmax() != right[i],
            "old-right": old[i].argmax() == right[i],
            "old-only": True,
            "token-likelihood": p["student"][i, right[i]] < p["old"][i, right[i]],
            "sequence-likelihood": np.prod([p["student"][j, right[j]] for j in same])
            < np.prod([p["old"][j, right[j]] for j in same]),
        }[mask]
        teacher = softened(old if m else new, temperature)[i]
        total += float((teacher * (np.log(teacher) - np.log(softened(student, temperature)[i]))).sum())
    return total / n


@pytest.mark.parametrize("mask", MASKS)
@given(n=st.integers(1, 6), columns=st.integers(2, 7), temperature=st.floats(0.5, 5), seed=st.integers(0, 9999))
def test_the_loss_is_the_twins(mask: Mask, n: int, columns: int, temperature: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    student, old, new = rng.normal(scale=2, size=(3, n, columns)).astype(np.float32).astype(np.float64)
    right, place = rng.integers(0, columns, n), np.sort(rng.integers(0, 3, n))
    new_output = None if mask == "old-only" else output(new, right)
    found = distillation(mask, units(student, right, place), output(old, right), new_output, temperature)
    expected = twin(mask, student, old, new, right, place, temperature)
    assert float(found.detach()) == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_a_student_that_is_the_new_model_and_right_has_no_gradient() -> None:
    scores = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    right = scores.argmax(dim=1)
    student = units(scores, right)
    loss = distillation("student-wrong", student, output(-scores, right), output(scores, right), 2.0)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0, abs=1e-6)
    assert student.logits.grad is not None
    assert float(student.logits.grad.abs().max()) < 1e-7


@pytest.mark.parametrize(
    ("n", "columns"), [(1, 2), (7, 3), (5, 150_000), (3, 300_000)]
)  # from all at once to one by one
def test_the_gradient_is_that_of_torchs_divergence(n: int, columns: int) -> None:
    generator = torch.Generator().manual_seed(n)
    teacher, weights = torch.randn(n, columns, generator=generator), torch.rand(n, generator=generator)
    ours = torch.randn(n, columns, generator=generator).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    found = divergence(ours, SoftTargets(teacher), 2.0)
    expected = F.kl_div(
        (theirs / 2).log_softmax(1), (teacher / 2).log_softmax(1), reduction="none", log_target=True
    ).sum(1)
    torch.testing.assert_close(found, expected)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    assert ours.grad is not None
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-8)


def test_half_precision_is_worked_out_in_single() -> None:
    scores = torch.randn(4, 9, generator=torch.Generator().manual_seed(0))
    student = scores.bfloat16().requires_grad_()
    found = divergence(student, SoftTargets(-scores), 2.0)
    torch.testing.assert_close(found, divergence(student.detach().float(), SoftTargets(-scores), 2.0))
    found.sum().backward()
    assert student.grad is not None
    assert student.grad.dtype == torch.bfloat16


@given(columns=st.integers(2, 12), k=st.integers(1, 12), seed=st.integers(0, 9999))
def test_the_likeliest_columns_give_a_lower_bound_that_is_exact_with_all_of_them(
    columns: int, k: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    student, teacher = rng.normal(scale=2, size=(2, 4, columns))
    scores = torch.as_tensor(student).float()
    whole = divergence(scores, targets(teacher), 2.0)
    part = divergence(scores, targets(teacher, top_k=k), 2.0)
    assert bool((part <= whole + 1e-4).all())
    if k >= columns - 1:  # what is left out is one column at most, and one it stays
        torch.testing.assert_close(part, whole, atol=1e-4, rtol=1e-3)


def test_the_likeliest_columns_by_hand() -> None:
    # Teacher (1/2, 1/4, 1/4), student (1/4, 1/4, 1/2): kept is 1/2 against 1/4, the rest is 1/2 against 3/4.
    teacher, student = [[log(2), 0.0, 0.0]], torch.tensor([[0.0, 0.0, log(2)]])
    found: Tensor = divergence(student, targets(teacher, 1.0, top_k=1), 1.0)
    assert float(found) == pytest.approx(1 / 2 * log(2) + 1 / 2 * log(2 / 3), rel=1e-5)


def test_columns_of_live_teachers_are_not_left_out() -> None:
    with pytest.raises(ValueError, match="top_k is for teachers: stored"):
        MuscleConfig(top_k=5)


def test_a_gpu_has_a_part_of_a_large_batch_at_a_time() -> None:
    units, vocabulary = 16 * 512, 32_000
    at_once = units_at_once(torch.device("cuda"), vocabulary)
    assert 4 * at_once * vocabulary <= 2**27  # bytes
    assert 4 * units * vocabulary > 7 * 2**27
    assert units_at_once(torch.device("cuda"), 2**30) == 1


@pytest.mark.parametrize("columns", [3, 17, 64])
def test_parts_have_the_bits_of_the_whole(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    student, teacher = torch.randn(13, columns, requires_grad=True), torch.randn(13, columns)
    found = []
    for at_once in (13 * columns, columns, 5 * columns + 1):
        monkeypatch.setattr(teacher_outputs, "SCORES_AT_ONCE", at_once)
        value = divergence(student, SoftTargets(teacher), 2.0)
        (gradient,) = torch.autograd.grad(value.sum(), student)
        found.append((value.detach(), gradient))
    assert all(torch.equal(value, found[0][0]) and torch.equal(slope, found[0][1]) for value, slope in found[1:])
