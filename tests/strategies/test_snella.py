"""Kernel additions: NumPy's arithmetic, counts by hand, the division of a budget, and where a task starts from."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from clbench.contracts import Context
from clbench.contracts.updating import learn_task
from clbench.core.config import validate
from clbench.core.errors import ConfigError
from clbench.strategies._adapters.entry_budget import Sensitivity, shares_of
from clbench.strategies._adapters.kernel_adapter import KernelAdapter, KernelFactors, largest
from clbench.strategies.snella import Snella, SnellaConfig
from clbench.streams.card import load_stream

NewContext = Callable[..., Context]


def factors_of(out: int, width: int, q: int, seed: int = 5) -> KernelFactors:
    return KernelFactors(torch.zeros(out, width), q, torch.Generator().manual_seed(seed))


def twin(factors: KernelFactors, share: float) -> np.ndarray:
    """The addition `(out, in)` in NumPy, with a quantile in place of a number of entries."""
    first, second = (
        np.linalg.norm(i[:, None, :] - o[None, :, :], axis=2)
        for i, o in zip(
            factors.inputs.detach().double().numpy(), factors.outputs.detach().double().numpy(), strict=True
        )
    )
    a, b, g = factors.scalars.detach().double().numpy()
    distance = 0.1 * (first - second)
    weights = np.exp(distance / g)
    kernel = distance + a * weights / weights.sum(axis=1, keepdims=True) + b
    found: np.ndarray = kernel * np.abs(kernel) * (np.abs(kernel) > np.quantile(np.abs(kernel), share))
    return found.T


def test_the_addition_is_numpys_and_has_30_percent_zeros() -> None:
    factors = factors_of(out=10, width=20, q=6)
    with torch.no_grad():
        factors.scalars.copy_(torch.tensor([0.7, 0.01, 1.3]))
    found = factors.addition(torch.tensor(140)).detach()
    assert (found == 0).sum() == 60
    np.testing.assert_allclose(found.numpy(), twin(factors, 0.3), rtol=1e-4, atol=1e-8)


def test_the_golden_numbers() -> None:
    """Normal factors of seed 5 with q / 2 = 3 for 4 inputs and 5 outputs: numbers of a NumPy reference."""
    factors, rng = factors_of(out=5, width=4, q=6), np.random.default_rng(5)
    with torch.no_grad():
        factors.inputs.copy_(torch.from_numpy(rng.normal(size=(2, 4, 3))))
        factors.outputs.copy_(torch.from_numpy(rng.normal(size=(2, 5, 3))))
    found = factors.addition(torch.tensor(14)).detach()
    assert float(found.norm()) == pytest.approx(0.41, abs=0.005)
    assert float((found == 0).float().mean()) == pytest.approx(0.3)
    assert torch.linalg.matrix_rank(factors.kernel().detach()) == 4


def test_it_is_not_of_low_rank_and_not_zero_at_first() -> None:
    factors = factors_of(out=12, width=16, q=6)
    kernel = factors.kernel().detach()
    assert torch.linalg.matrix_rank(kernel) > 3  # q / 2
    assert factors.addition(torch.tensor(192)).norm() > 0
    assert sum(p.numel() for p in factors.parameters()) == 6 * (12 + 16) + 3
    for values, size in ((factors.inputs, 16), (factors.outputs, 12)):
        fan = nn.init._calculate_fan_in_and_fan_out(values)[0]  # that of the released initialization
        assert fan == size * 3
        assert 0.8 * fan**-0.5 < values.abs().max() <= fan**-0.5


def test_the_gradient_takes_the_size_as_a_constant() -> None:
    factors = factors_of(out=3, width=4, q=2)
    kernel = factors.kernel()
    (wanted,) = torch.autograd.grad((kernel * kernel.detach().abs()).sum(), factors.inputs)
    (found,) = torch.autograd.grad(factors.addition(torch.tensor(12)).sum(), factors.inputs)
    torch.testing.assert_close(found, wanted)


def test_the_largest_entries_by_hand() -> None:
    size = torch.tensor([[3.0, 1.0], [2.0, 5.0]])
    assert largest(size, torch.tensor(2)).tolist() == [[True, False], [False, True]]
    assert largest(size, torch.tensor(4)).all()
    assert not largest(size, torch.tensor(0)).any()


def test_a_budget_is_divided_by_hand() -> None:
    sizes = torch.tensor([10, 10, 100])
    for budget, scores, wanted in (
        (24, [1, 1, 2], [6, 6, 12]),
        (24, [4, 1, 1], [10, 7, 7]),  # the first is full; 14 are left for equal scores
        (50, [4, 3, 1], [10, 10, 30]),
        (120, [1, 2, 3], [10, 10, 100]),
        (12, [0, 0, 0], [1, 1, 10]),
        (12, [0, 0, 5], [0, 0, 12]),
    ):
        assert shares_of(torch.tensor(budget), torch.tensor(scores), sizes).tolist() == wanted


@given(st.integers(0, 1000), st.integers(1, 6), st.floats(0, 1))
def test_a_divided_budget_is_spent_and_fits(seed: int, layers: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    sizes, scores = torch.from_numpy(rng.integers(1, 1000, layers)), torch.from_numpy(rng.random(layers) + 1e-6)
    budget = int(share * int(sizes.sum()))
    found = shares_of(torch.tensor(budget), scores, sizes)
    assert (found <= sizes).all()
    assert 0 <= budget - int(found.sum()) <= layers  # whole numbers
    free = found < sizes
    levels = (found / scores)[free]
    if len(levels) > 1:  # those that are not full have one level, to a whole entry
        assert (levels.max() - levels.min()) <= 1 / scores[free].min() + 1e-6


def test_scores_by_hand() -> None:
    factors = factors_of(out=1, width=1, q=2)
    for p, grad in ((factors.inputs, 2.0), (factors.outputs, 0.0)):
        nn.init.constant_(p, 3.0)
        p.grad = torch.full_like(p, grad)
    found = Sensitivity([factors], 0.85)
    mean, spread = 0.15 * 6, 0.15 * (6 - 0.15 * 6)
    assert found.update().tolist() == pytest.approx([mean * spread])
    factors.inputs.grad = torch.zeros_like(factors.inputs)
    assert found.update().tolist() == pytest.approx([0.85 * mean * (0.85 * spread + 0.15 * 0.85 * mean)])


def test_a_task_starts_from_the_model_before_it() -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(6, 8), torch.randn(5, 6)
    module = nn.Sequential(layer)
    before = module(x).detach()
    weight = layer.weight.detach().clone()
    adapter = KernelAdapter({"0": factors_of(8, 6, 4)}, torch.tensor([30]))
    adapter.attach(module)
    torch.testing.assert_close(module(x), before, atol=1e-6, rtol=1e-5)
    assert (layer.weight - weight).abs().max() > 1e-4
    with torch.no_grad():
        adapter.factors["0"].inputs.add_(0.1 * torch.randn(2, 6, 2))
    attached = module(x).detach()
    adapter.merge(module)
    torch.testing.assert_close(module(x), attached, atol=1e-6, rtol=1e-5)
    assert (attached - before).abs().max() > 1e-4


def test_learning_ends_with_the_target(tiny: Any, new_context: NewContext) -> None:
    numbers: dict[str, float] = {}
    context, task = new_context(6, numbers), load_stream(tiny.stream).tasks[0]
    strategy = Snella(SnellaConfig(target=0.75, rank=4, roles=("q", "up")), context)
    additions: dict[str, torch.Tensor] = {}
    merge = strategy.end_task

    def end_task(task: Any) -> None:
        adapter = strategy._adapter
        additions.update({name: adapter.addition(name).detach() for name in adapter.factors})
        merge(task)

    strategy.end_task = end_task  # type: ignore[method-assign]
    learn_task(strategy, task)
    total = sum(a.numel() for a in additions.values())
    assert sum(int((a != 0).sum()) for a in additions.values()) == pytest.approx(0.25 * total, abs=len(additions))
    shares = [numbers[f"snella/kept/{tower}.{role}"] for tower in ("vision", "text") for role in ("q", "up")]
    assert len(set(shares)) > 1  # layers compete
    assert strategy.state_dict() == {}


def test_footprint(new_context: NewContext) -> None:
    found = Snella(SnellaConfig(rank=4, roles=("q",)), new_context()).footprint()
    assert found == {"trainable_parameters": 4 * (4 * (32 + 32) + 3), "adapters": 4}


def test_an_odd_width_is_refused() -> None:
    with pytest.raises(ConfigError, match="must be even, because half of it goes to each of two kernels, got 3"):
        validate(SnellaConfig, {"rank": 3}, "strategy snella")
