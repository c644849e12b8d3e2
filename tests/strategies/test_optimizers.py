"""Optimizers of the slot against numbers worked out by hand, against torch, and against what they promise to leave."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies.conftest import context_of
from torch import Tensor, nn
from torch.optim import Optimizer

from clbench.contracts import LinearLayer
from clbench.contracts.updating import learn_task
from clbench.strategies._parts.blocks import blocks_of, depths_of
from clbench.strategies._parts.column_adamw import ColumnAdamW
from clbench.strategies._parts.optimizer import Dropping, Plan
from clbench.strategies._parts.part import Trained, described
from clbench.strategies._training.gradient import GradientConfig
from clbench.strategies._training.optimization import new_optimizer
from clbench.strategies.finetune import Finetune
from clbench.strategies.lora import Lora, LoraConfig
from clbench.strategies.replay import Replay, ReplayConfig
from clbench.streams.card import load_stream

BETAS = (0.9, 0.999)


def finetune(tiny: Any, optimizer: object, **settings: Any) -> Finetune:
    """A strategy with an optimizer."""
    return Finetune(GradientConfig.model_validate({"optimizer": optimizer, **settings}), context_of(tiny))


def in_block(name: str, values: Any, block: int = 0) -> Trained:
    """A weight of a linear layer of the vision tower."""
    return Trained(name, nn.Parameter(torch.tensor(values)), LinearLayer(name, "up", "vision", block), own=True)


def built(tiny: Any, optimizer: object, items: Sequence[Trained], plan: Plan) -> Optimizer:
    """An optimizer as the loop would build it."""
    return finetune(tiny, optimizer).parts.optimizer.build(items, plan)


def step(optimizer: Optimizer, items: Sequence[Trained], gradients: Sequence[Any]) -> None:
    """One step with given gradients."""
    for item, gradient in zip(items, gradients, strict=True):
        item.parameter.grad = None if gradient is None else torch.tensor(gradient)
    optimizer.step()


def test_sgd_by_hand(tiny: Any) -> None:
    """The sum is 1, then 0.5 * 1 + 2; w = 0.9 * 1 - 0.5, then 0.9 * 0.4 - 0.5 * 2.5."""
    items = [in_block("w", [[1.0]])]
    optimizer = built(tiny, {"name": "sgd", "momentum": 0.5}, items, Plan(0.5, 0.2, BETAS, 2))
    step(optimizer, items, [[[1.0]]])
    assert items[0].parameter.item() == pytest.approx(0.4)
    step(optimizer, items, [[[2.0]]])
    assert items[0].parameter.item() == pytest.approx(-0.89)


def test_sgd_without_decay_is_that_of_torch(tiny: Any) -> None:
    items = [in_block("w", [[1.0, -2.0], [0.5, 3.0]])]
    other = nn.Parameter(items[0].parameter.detach().clone())
    ours = built(tiny, {"name": "sgd", "nesterov": True}, items, Plan(0.1, 0.0, BETAS, 3))
    reference = torch.optim.SGD([other], lr=0.1, momentum=0.9, nesterov=True)
    for number in range(3):
        gradient = torch.randn(2, 2, generator=torch.Generator().manual_seed(number))
        step(ours, items, [gradient.tolist()])
        other.grad = gradient
        reference.step()
    torch.testing.assert_close(items[0].parameter, other)


def test_sign_sgd_by_hand(tiny: Any) -> None:
    """Decay 0.5 * 0.2, then a step of 0.5 against the sign; an entry without gradient only decays."""
    items = [in_block("w", [[1.0, 1.0, 1.0]])]
    step(built(tiny, "sign-sgd", items, Plan(0.5, 0.2, BETAS, 1)), items, [[[1e-7, -3.0, 0.0]]])
    assert items[0].parameter.tolist()[0] == pytest.approx([0.4, 1.4, 0.9])


def test_signum_takes_the_sign_of_the_mean(tiny: Any) -> None:
    """The mean is 0.3 * 1, then 0.7 * 0.3 - 0.3 * 0.5 = 0.06 > 0: it goes on, against the last gradient."""
    items = [in_block("w", [[0.0]])]
    optimizer = built(tiny, {"name": "sign-sgd", "momentum": 0.7}, items, Plan(0.1, 0.0, BETAS, 2))
    step(optimizer, items, [[[1.0]]])
    step(optimizer, items, [[[-0.5]]])
    assert items[0].parameter.item() == pytest.approx(-0.2)


def test_lamb_by_hand(tiny: Any) -> None:
    """At the first step m / sqrt(v) is the sign, so u = (1 + 0.03, -1 + 0.04), whose ratio is 5 / ||u||."""
    items = [in_block("w", [[3.0, 4.0]])]
    step(built(tiny, "lamb", items, Plan(0.01, 0.01, BETAS, 1)), items, [[[0.1, -0.2]]])
    norm = math.hypot(1.03, 0.96)
    assert items[0].parameter.tolist()[0] == pytest.approx([3 - 0.05 * 1.03 / norm, 4 + 0.05 * 0.96 / norm], abs=1e-5)
    assert items[0].parameter.tolist()[0] == pytest.approx([2.963424, 4.034091], abs=1e-5)


def test_lamb_scales_by_norms_without_decay_and_does_not_clip(tiny: Any) -> None:
    """A step is lr * ||w||, however large the gradient; moments of a gradient of norm 50 are those of norm 50."""
    items = [in_block("w", [[3.0, 4.0]])]
    optimizer = built(tiny, "lamb", items, Plan(0.01, 0.0, BETAS, 1))
    step(optimizer, items, [[[30.0, -40.0]]])
    change = items[0].parameter.detach() - torch.tensor([[3.0, 4.0]])
    assert float(change.norm()) == pytest.approx(0.01 * 5, rel=1e-4)
    assert optimizer.state[items[0].parameter]["exp_avg"].tolist()[0] == pytest.approx([3.0, -4.0])


def test_lamb_moves_a_tensor_of_zeros_as_adam(tiny: Any) -> None:
    items = [in_block("b", [[0.0, 0.0]])]
    step(built(tiny, "lamb", items, Plan(0.01, 0.0, BETAS, 1)), items, [[[1.0, -1.0]]])
    assert items[0].parameter.tolist()[0] == pytest.approx([-0.01, 0.01], rel=1e-4)


def newton_schulz(matrix: Tensor) -> Tensor:
    """Five steps of X <- a X + (b X X^T + c (X X^T)^2) X in float64, from the matrix over its Frobenius norm."""
    x: Tensor = matrix.double() / matrix.double().norm()
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x


@pytest.mark.parametrize(("scale", "factor"), [("match_rms_adamw", 0.2 * math.sqrt(3)), ("original", 1.0)])
def test_muon_by_newton_schulz(tiny: Any, scale: str, factor: float) -> None:
    """In float64 the singular values are 1.119, 0.712 and 0.699, not in the order of the gradient's; torch rounds."""
    items = [in_block("w", torch.zeros(3, 3).tolist())]
    gradient = torch.diag(torch.tensor([1.0, 0.5, 0.1]))
    step(built(tiny, {"name": "muon", "scale": scale}, items, Plan(0.1, 0.0, BETAS, 1)), items, [gradient.tolist()])
    moved = -items[0].parameter.detach() / (0.1 * factor)
    assert sorted(newton_schulz(gradient).diagonal().tolist()) == pytest.approx([0.699, 0.712, 1.119], abs=5e-4)
    torch.testing.assert_close(moved, newton_schulz(gradient).float(), atol=0.02, rtol=0.02)


def test_muon_takes_matrices_of_layers_and_adapters_only(tiny: Any) -> None:
    strategy = finetune(tiny, "muon")
    part = strategy.parts.optimizer
    taken = [item for item in described(strategy.learner, strategy.trainable_parameters()) if part.takes(item)]
    assert {item.name for item in taken} == {f"{layer.name}.weight" for layer in strategy.learner.linear_layers()}
    adapted = Lora(LoraConfig.model_validate({"optimizer": "muon", "rank": 2}), context_of(tiny))
    adapted.begin_task(load_stream(tiny.stream).tasks[0])
    factors = described(adapted.learner, adapted.trainable_parameters(), adapters=True)
    assert factors
    assert all(adapted.parts.optimizer.takes(item) for item in factors)


def test_a_schedule_sets_the_rates_of_both_optimizers(tiny: Any) -> None:
    strategy = finetune(tiny, {"name": "muon", "fallback_lr": 0.5}, lr=0.1, warmup=0.5)
    trained = described(strategy.learner, strategy.trainable_parameters())
    optimizer, scheduler = new_optimizer(trained, [], strategy.config, strategy.parts.optimizer, 4)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.1 / 3, 0.5 / 3])
    optimizer.step()
    scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.2 / 3, 1 / 3])


def test_frugal_by_hand() -> None:
    """Lr 0.001, decay 0.1, scale 0.1; AdamW moves column 1 by 0.001, the sign moves the others by 0.0001."""
    weight = nn.Parameter(torch.ones(2, 3))
    defaults = {"lr": 1e-3, "weight_decay": 0.1, "betas": BETAS, "scale": 0.1}
    optimizer = ColumnAdamW([weight], defaults, iter([[torch.tensor([1])]]))
    weight.grad = torch.tensor([[0.1, -0.2, 3.0], [0.0, 0.3, -1e-4]])
    optimizer.step()
    expected = torch.tensor([[0.9998, 1.0009, 0.9998], [0.9999, 0.9989, 1.0]])
    torch.testing.assert_close(weight.detach(), expected, atol=1e-6, rtol=0)


def test_frugal_with_every_column_is_adamw_until_the_next_draw(tiny: Any) -> None:
    items = [in_block("w", torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).tolist())]
    other = nn.Parameter(items[0].parameter.detach().clone())
    ours = built(tiny, {"name": "frugal", "density": 1.0, "rounds": 1}, items, Plan(1e-2, 0.1, BETAS, 4))
    reference = torch.optim.AdamW([other], lr=1e-2, betas=BETAS, weight_decay=0.1)
    for number in range(4):
        gradient = torch.randn(3, 4, generator=torch.Generator().manual_seed(number))
        step(ours, items, [gradient.tolist()])
        other.grad = gradient
        reference.step()
    torch.testing.assert_close(items[0].parameter, other)


@given(steps=st.integers(1, 30), rounds=st.integers(1, 8), density=st.floats(0.05, 1.0))
def test_frugal_draws_as_often_and_as_much_as_it_is_told(tiny: Any, steps: int, rounds: int, density: float) -> None:
    items = [in_block("a", torch.ones(2, 8).tolist()), in_block("b", torch.ones(2, 5).tolist())]
    settings = {"name": "frugal", "density": density, "rounds": rounds, "scale": 0.0}
    optimizer = built(tiny, settings, items, Plan(1e-3, 0.0, BETAS, steps))
    draws = 0
    for _ in range(steps):
        step(optimizer, items, [torch.ones(2, 8).tolist(), torch.ones(2, 5).tolist()])
        draws += optimizer.state[items[0].parameter]["steps"] == 1
        for item, width in zip(items, (8, 5), strict=True):
            assert len(optimizer.state[item.parameter]["columns"]) == max(1, int(density * width))
    assert draws == math.ceil(steps / math.ceil(steps / rounds)) <= rounds


def test_frugal_of_matrices_moves_the_drawn_ones_only(tiny: Any) -> None:
    items = [in_block(name, torch.ones(2, 3).tolist()) for name in "abcd"]
    settings = {"name": "frugal", "unit": "matrices", "scale": 0.0, "rounds": 1}
    optimizer = built(tiny, settings, items, Plan(1e-3, 0.0, BETAS, 2))
    for _ in range(2):
        step(optimizer, items, [torch.ones(2, 3).tolist()] * 4)
    moved = [bool((item.parameter != 1).all()) for item in items]
    assert sum(moved) == 1
    assert all(bool((item.parameter == 1).all()) for item, was in zip(items, moved, strict=True) if not was)


@pytest.mark.parametrize("blocks", ["top", "random"])
def test_drop_muon_draws_blocks_in_proportion_to_their_height(tiny: Any, blocks: str) -> None:
    """Of two blocks the lower one moves in half of the steps; of random ones each in three quarters."""
    steps = 4000
    strategy = finetune(tiny, {"name": "drop-muon", "rule": "adamw", "blocks": blocks})
    items = [
        item
        for item in described(strategy.learner, strategy.trainable_parameters())
        if strategy.parts.optimizer.takes(item)
    ]
    optimizer = strategy.parts.optimizer.build(items, Plan(1e-3, 0.0, BETAS, steps))
    assert isinstance(optimizer, Dropping)
    turns = torch.tensor(list(optimizer._turns))
    assert depths_of(strategy.learner) == {"vision": 2, "text": 2}
    found = blocks_of(items, strategy.learner)
    expected = {"top": {0: 0.5, 1: 1.0}, "random": {0: 0.75, 1: 0.75}}[blocks]
    for column, item in zip(turns.T, items, strict=True):
        place = found[item.name]
        assert place is not None
        assert float(column.float().mean()) == pytest.approx(expected[place[1]], abs=0.03)
    assert int(turns.sum(dim=1).min()) == len(items) // 2  # one block of each tower at least


def test_dropped_blocks_keep_weights_and_momentum() -> None:
    low, high = (nn.Parameter(torch.ones(2, 2)) for _ in range(2))
    optimizer = Dropping(torch.optim.Muon([low, high], lr=0.1), [low, high], [[True, False], [True, True]])
    kept = []
    for _ in range(2):
        low.grad, high.grad = torch.eye(2), torch.eye(2)
        optimizer.step()
        kept.append((low.detach().clone(), optimizer._members[0].state[low]["momentum_buffer"].clone(), high.clone()))
    assert torch.equal(kept[0][0], kept[1][0])
    assert torch.equal(kept[0][1], kept[1][1])
    assert not torch.equal(kept[0][2], kept[1][2])


def test_rates_follow_the_schedule_in_a_real_update(tiny: Any) -> None:
    """With a rate of 0 in the last step of a cosine nothing explodes: the loss falls under every optimizer."""
    task = load_stream(tiny.stream).tasks[0]
    for name, lr in (("sgd", 0.1), ("sign-sgd", 3e-4), ("lamb", 1e-2), ("muon", 3e-3), ("drop-muon", 3e-3)):
        numbers: dict[str, float] = {}
        config = GradientConfig.model_validate({"optimizer": name, "lr": lr, "augment": False})
        learn_task(Finetune(config, context_of(tiny, steps=20, numbers=numbers)), task)
        assert numbers["train/loss_last"] < numbers["train/loss_first"], name


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "sign-sgd", "lamb", "muon", "drop-muon", "frugal"])
def test_optimizers_step_in_avalanches_loop_as_in_ours(optimizer: str, tiny: Any) -> None:
    """On the first task `replay` has no memory, so it is `finetune`, to the bit."""
    task = load_stream(tiny.stream).tasks[0]
    ours, theirs = context_of(tiny), context_of(tiny)
    learn_task(Finetune(GradientConfig.model_validate({"optimizer": optimizer}), ours), task)
    learn_task(Replay(ReplayConfig.model_validate({"optimizer": optimizer}), theirs), task)
    weights = theirs.learner.state_dict()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in ours.learner.state_dict().items())
