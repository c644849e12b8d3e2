"""Evolution strategies against the gradient, which they must estimate, and against what must not move anything."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from clbench.contracts import Budget, Context
from clbench.contracts.updating import learn_task
from clbench.strategies._linalg.low_rank_noise import Noise, pair_weights, scores_of
from clbench.strategies.eggroll import Eggroll, EggrollConfig, plan
from clbench.streams.card import load_stream

NewContext = Callable[..., Context]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("rank", [1, 3])
def test_of_a_linear_fitness_the_direction_is_the_gradient(rank: int) -> None:
    gradient = torch.randn(4, 5, generator=seeded(1))
    noise = Noise.draw(torch.zeros(4, 5), 10_000, rank, seeded())
    change = torch.einsum("por,pir,oi->p", noise.a, noise.b, gradient) / rank**0.5
    step = noise.total(pair_weights(torch.stack([change, -change], dim=1)))
    assert torch.cosine_similarity(step.flatten(), gradient.flatten(), dim=0) > 0.99


def test_of_a_constant_fitness_nothing_moves() -> None:
    assert not pair_weights(torch.full((8, 2), -0.7)).any()
    noise = Noise.draw(torch.zeros(3, 2), 8, 1, seeded())
    assert not noise.total(torch.zeros(8)).any()


def test_the_step_by_hand() -> None:
    """Two pairs of rank 1: fitness 1, 0, 0, 1 has mean 0.5 and variance 0.25."""
    fitness = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    score = 0.5 / (0.25 + 1e-5) ** 0.5
    assert scores_of(fitness.flatten()).tolist() == pytest.approx([score, -score, -score, score])
    assert pair_weights(fitness).tolist() == pytest.approx([score, -score])  # 2 score / sqrt(4)
    noise = Noise(torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]]]), torch.tensor([[[5.0]], [[6.0]]]))
    assert noise.total(torch.tensor([1.0, -1.0])).tolist() == [[5 - 18], [10 - 24]]
    assert noise.of(1).tolist() == [[18], [24]]


@given(st.integers(0, 100), st.integers(1, 5), st.integers(1, 3), st.sampled_from([(3,), (2, 4), (2, 3, 2), ()]))
def test_the_sum_is_that_of_single_noises(seed: int, pairs: int, rank: int, shape: tuple[int, ...]) -> None:
    p, weights = torch.zeros(shape), torch.randn(pairs, generator=seeded(seed + 1))
    noise = Noise.draw(p, pairs, rank, seeded(seed))
    wanted = torch.stack([weight * noise.of(pair) for pair, weight in enumerate(weights)]).sum(dim=0)
    torch.testing.assert_close(noise.total(weights), wanted)
    assert wanted.view_as(p).shape == p.shape


def test_noise_has_mean_0_and_variance_1() -> None:
    for shape in ((3, 4), (5,)):
        noise = Noise.draw(torch.zeros(shape), 20_000, 2, seeded())
        drawn = torch.stack([noise.of(pair) for pair in range(0, 20_000, 4)])
        assert drawn.mean().abs() < 0.02
        assert drawn.var() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("steps", "population", "wanted"),
    [(100, 4, (75, 4)), (100, 1024, (1, 300)), (1, 1024, (1, 2)), (5, 6, (2, 6)), (3, 2, (4, 2))],
)
def test_generations_stay_within_the_passes(steps: int, population: int, wanted: tuple[int, int]) -> None:
    assert plan(Budget(steps=steps), EggrollConfig(population=population)) == wanted
    assert np.prod(wanted) <= 3 * steps


def weights_of(context: Context) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in context.learner.state_dict().items()}


def test_only_the_chosen_matrices_move_and_no_gradient_is_left(tiny: Any, new_context: NewContext) -> None:
    context = new_context()
    calls: list[tuple[int, int]] = []
    object.__setattr__(context, "progress", lambda done, total: calls.append((done, total)))
    strategy, before = Eggroll(EggrollConfig(roles=("q",), towers=("vision",)), context), weights_of(context)
    learn_task(strategy, load_stream(tiny.stream).tasks[0])
    moved = {name for name, tensor in context.learner.state_dict().items() if not torch.equal(tensor, before[name])}
    chosen = [item for item in context.learner.linear_layers() if (item.tower, item.role) == ("vision", "q")]
    assert moved == {f"{layer.name}.weight" for layer in chosen}
    assert all(p.grad is None for p in context.learner.module.parameters())
    assert calls == [(n, 12) for n in range(1, 13)]  # 3 x 5 passes are 3 generations of 4
    assert strategy.number_of_steps(strategy.seen[0]) == 12


def test_a_tasks_head_is_trained_too(tiny: Any, new_context: NewContext, monkeypatch: pytest.MonkeyPatch) -> None:
    context = new_context()
    head = {"head": context.learner.module.get_parameter("ln_final.bias")}
    monkeypatch.setattr(context.learner, "head", lambda task: head)
    before = weights_of(context)
    learn_task(Eggroll(EggrollConfig(), context), load_stream(tiny.stream).tasks[0])
    assert not torch.equal(head["head"], before["ln_final.bias"])


def test_members_leave_the_weights_as_they_were(
    tiny: Any, new_context: NewContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = new_context()
    before = weights_of(context)
    monkeypatch.setattr(context.learner, "loss", lambda batch, task: torch.tensor(1.5))
    learn_task(Eggroll(EggrollConfig(lr=1.0), context), load_stream(tiny.stream).tasks[0])
    assert all(torch.equal(tensor, before[name]) for name, tensor in context.learner.state_dict().items())


def test_a_task_is_learnt_without_gradients(tiny: Any, new_context: NewContext) -> None:
    numbers: dict[str, float] = {}
    learn_task(Eggroll(EggrollConfig(lr=3e-3), new_context(300, numbers)), load_stream(tiny.stream).tasks[0])
    assert numbers["train/loss_last"] < 0.7 * numbers["train/loss_first"]


def test_footprint(new_context: NewContext) -> None:
    found = Eggroll(EggrollConfig(roles=("q",)), new_context()).footprint()
    assert found == {"trainable_parameters": 4 * 32 * 32, "adapters": 0}
