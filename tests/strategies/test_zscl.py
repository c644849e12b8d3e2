"""ZSCL against a NumPy twin, fine-tuning, a running average written out, and its promises about teacher and texts."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from clbench.contracts import Batch, Context, ScoresClasses, Task, require
from clbench.contracts.updating import learn_task
from clbench.strategies._training.gradient import GradientConfig
from clbench.strategies.finetune import Finetune
from clbench.strategies.zscl import Zscl, ZsclConfig, averaging_steps, divergence
from clbench.streams.card import load_stream

NewContext = Callable[..., Context]
Matrix = NDArray[np.float64]


def softened(scores: Matrix, temperature: float) -> Matrix:
    """Row-wise softmax."""
    powers = np.exp((scores - scores.max(axis=1, keepdims=True)) / temperature)
    shares: Matrix = powers / powers.sum(axis=1, keepdims=True)
    return shares


def twin(student: Matrix, teacher: Matrix, temperature: float) -> float:
    """T^2 sum p (log p - log q) a row, averaged, from the definition."""
    q, p = softened(student, temperature), softened(teacher, temperature)
    return float(temperature**2 * (p * (np.log(p) - np.log(q))).sum() / len(student))


def weights(context: Context) -> dict[str, Tensor]:
    """A copy of the learner's weights."""
    return {name: tensor.clone() for name, tensor in context.learner.state_dict().items()}


@given(rows=st.integers(1, 6), columns=st.integers(1, 6), temperature=st.floats(0.5, 8), seed=st.integers(0, 99))
def test_the_divergence_is_the_twins(rows: int, columns: int, temperature: float, seed: int) -> None:
    student, teacher = np.random.default_rng(seed).normal(scale=5, size=(2, rows, columns))
    found = divergence(torch.from_numpy(student), torch.from_numpy(teacher), temperature)
    assert float(found) == pytest.approx(twin(student, teacher, temperature), rel=1e-4, abs=1e-5)


def test_the_divergence_by_hand() -> None:
    half, quarter = torch.tensor([[1.0, 1.0]]), torch.tensor([[0.0, 2 * float(np.log(3))]])
    expected = 4 * (0.5 * np.log(0.5 / 0.25) + 0.5 * np.log(0.5 / 0.75))  # T = 2 makes the odds 1 : 3
    assert float(divergence(quarter, half, 2.0)) == pytest.approx(expected, rel=1e-5)
    assert float(divergence(half, half, 2.0)) == 0.0


def test_its_gradient_is_that_of_the_released_cross_entropy() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(4, 5, requires_grad=True), torch.randn(4, 5)
    (ours,) = torch.autograd.grad(divergence(student, teacher, 2.0), student)
    released = 4 * F.cross_entropy(student / 2, (teacher / 2).softmax(dim=1))
    torch.testing.assert_close(ours, torch.autograd.grad(released, student)[0])


def test_the_loss_is_cross_entropy_plus_both_directions_over_all_classes_seen(
    tiny: Any, new_context: NewContext
) -> None:
    one, two, _ = load_stream(tiny.stream).tasks
    given_context = new_context()
    strategy = Zscl(ZsclConfig(strength=0.5, temperature=3.0), given_context)
    learner, teacher = given_context.learner, new_context().learner
    batch = given_context.samples(two, "train").batch(slice(8))
    strategy.seen += [one, two]
    torch.testing.assert_close(strategy.loss(batch, two), learner.loss(batch, two))  # still version 0
    learn_task(Finetune(GradientConfig(), given_context), one)
    with torch.no_grad():
        ours, theirs = (
            require(model, ScoresClasses).logits(batch, [one, two]).double().numpy() for model in (learner, teacher)
        )
    distilled = twin(ours, theirs, 3.0) + twin(ours.T, theirs.T, 3.0)
    assert distilled > 0.1
    extra = float((strategy.loss(batch, two) - learner.loss(batch, two)).detach())
    assert extra == pytest.approx(0.5 * distilled, rel=1e-3)


def test_without_teacher_and_average_it_is_finetune(tiny: Any, new_context: NewContext) -> None:
    ours, theirs = new_context(), new_context()
    zscl, finetune = Zscl(ZsclConfig(strength=0, averages=0), ours), Finetune(GradientConfig(), theirs)
    for task in load_stream(tiny.stream).tasks[:2]:
        learn_task(zscl, task)
        learn_task(finetune, task)
    assert ours.learner.digest() == theirs.learner.digest()


def test_strength_holds_the_learner_near_version_0(tiny: Any, new_context: NewContext) -> None:
    one, two, three = load_stream(tiny.stream).tasks
    teacher, apart = new_context(), []
    batch = teacher.samples(three, "test").batch(slice(None))
    for strength in (0.0, 10.0):
        given_context = new_context(30)
        strategy = Zscl(ZsclConfig(strength=strength, averages=0), given_context)
        learn_task(strategy, one)
        learn_task(strategy, two)
        with torch.no_grad():
            gap = require(given_context.learner, ScoresClasses).logits(batch, [one, two]) - require(
                teacher.learner, ScoresClasses
            ).logits(batch, [one, two])
        apart.append(float(gap.square().mean()))
    assert apart[1] < 0.5 * apart[0]


@given(steps=st.integers(1, 300), averages=st.integers(0, 40))
def test_averages_are_evenly_spread_and_end_with_the_last_step(steps: int, averages: int) -> None:
    found = sorted(averaging_steps(steps, averages))
    assert len(found) == min(steps, averages)
    if found:
        assert found[-1] == steps
        gaps = np.diff([0, *found])
        assert gaps.min() >= 1
        assert gaps.max() - gaps.min() <= 1


def test_averaging_steps_by_hand() -> None:
    assert sorted(averaging_steps(1000, 10)) == list(range(100, 1001, 100))  # as published
    assert sorted(averaging_steps(5, 2)) == [3, 5]
    assert averaging_steps(3, 10) == {1, 2, 3}


class Watched(Zscl):  # type: ignore[misc]
    """Keeps the weights before the first step and after every one."""

    def begin_task(self, task: Task) -> None:
        """Look before the first step."""
        super().begin_task(task)
        self.versions = [weights(self.context)]

    def after_step(self, task: Task, step: int) -> None:
        """Look after each step."""
        super().after_step(task, step)
        self.versions.append(weights(self.context))


def test_the_version_is_the_average_and_the_next_task_starts_from_it(tiny: Any, new_context: NewContext) -> None:
    given_context = new_context(5)
    strategy = Watched(ZsclConfig(averages=2), given_context)
    for task in load_stream(tiny.stream).tasks[:2]:
        start = weights(given_context)
        learn_task(strategy, task)
        for name, tensor in weights(given_context).items():
            assert torch.equal(strategy.versions[0][name], start[name])
            by_hand = (strategy.versions[0][name] + strategy.versions[3][name] + strategy.versions[5][name]) / 3
            torch.testing.assert_close(tensor, by_hand, atol=1e-6, rtol=1e-5, msg=name)
    assert strategy.state_dict() == {}


def test_the_teacher_never_moves_and_future_classes_are_never_asked_for(
    tiny: Any, new_context: NewContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_context = new_context()
    strategy = Zscl(ZsclConfig(), given_context)
    teacher = strategy.teacher
    assert teacher is not None
    before = teacher.digest()
    asked: list[list[str]] = []
    for model in (teacher, given_context.learner):
        original = require(model, ScoresClasses).logits

        def logits(batch: Batch, tasks: Sequence[Task], original: Any = original) -> Tensor:
            asked.append([task.name for task in tasks])
            scores: Tensor = original(batch, tasks)
            return scores

        monkeypatch.setattr(model, "logits", logits)
    for index, task in enumerate(load_stream(tiny.stream).tasks):
        asked.clear()
        learn_task(strategy, task)
        assert asked == [["one", "two", "three"][: index + 1]] * 10  # student and teacher once a step
    assert teacher.digest() == before == new_context().learner.digest()
    assert not any(p.requires_grad or p.grad is not None for p in teacher.module.parameters())
    assert not teacher.module.training


def test_without_strength_no_teacher_is_built(new_context: NewContext) -> None:
    given_context = new_context()
    object.__setattr__(given_context, "new_learner", None)
    assert Zscl(ZsclConfig(strength=0), given_context).teacher is None
