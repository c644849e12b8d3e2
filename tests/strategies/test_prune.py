"""Pruning: numbers worked out by hand, exact counts, optimality, sizes, refusals, models that ship."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies.compressed import LLAMA, MINIS, T5, TEXTS, mini, strategy_of, weights_of
from torch import Tensor, nn

from clbench.core.errors import ConfigError
from clbench.spec.update import Compress
from clbench.strategies._compression.calibration import Calibration, InputMoments
from clbench.strategies._compression.zeros import bits_of, zero_lowest


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def moments_of(norms: Tensor) -> InputMoments:
    """Sums over inputs of such norms."""
    squares = norms.double().square()
    return InputMoments(torch.zeros_like(squares), squares, squares.new_ones(()))


def pruned(weight: Tensor, sparsity: float, norms: Tensor | None = None, **settings: Any) -> Tensor:
    """A weight matrix as the strategy prunes it."""
    strategy, _ = strategy_of("prune", LLAMA, **settings)
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        layer.weight.copy_(weight)
        strategy.rewrite(layer, sparsity, None if norms is None else moments_of(norms))
    return layer.weight.detach()


def zeros_by_layer(strategy: Any) -> dict[str, int]:
    return {name: int((weight == 0).sum()) for name, weight in weights_of(strategy.learner).items()}


# Which weights


def test_wanda_by_hand() -> None:
    weight = torch.tensor([[4.0, 0, 1, -1], [3, -2, -1, -3], [-3, 1, 0, 2]])
    found = pruned(weight, 0.5, torch.tensor([1.0, 2, 8, 3]), rule="wanda")
    assert (found != 0).int().tolist() == [[1, 0, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1]]
    assert torch.equal(found[found != 0], weight[found != 0])


@pytest.mark.parametrize("sparsity", [0.3, 0.5])
def test_wanda_with_equal_norms_is_magnitude_by_row(sparsity: float) -> None:
    weight = gaussian(16, 30)
    by_norms = pruned(weight, sparsity, torch.full((30,), 2.5), rule="wanda")
    assert torch.equal(by_norms, pruned(weight, sparsity, rule="magnitude", scope="row"))


def test_wanda_changes_outputs_least_if_inputs_are_uncorrelated() -> None:
    """Among all sets of three zeros, by enumeration: the sum of the squared scores is least in each row."""
    weight, norms = gaussian(5, 6), gaussian(6, seed=1).abs()
    for before, after in zip(weight, pruned(weight, 0.5, norms, rule="wanda"), strict=True):
        losses = {zeros: float((before * norms)[list(zeros)].square().sum()) for zeros in combinations(range(6), 3)}
        assert tuple((after == 0).nonzero().flatten().tolist()) == min(losses, key=losses.__getitem__)


@given(
    rows=st.integers(1, 6),
    inputs=st.integers(1, 12),
    sparsity=st.floats(0, 0.999),
    ties=st.booleans(),
    seed=st.integers(0, 99),
)
def test_counts_are_exact_and_the_smallest_go(rows: int, inputs: int, sparsity: float, ties: bool, seed: int) -> None:
    weight = gaussian(rows, inputs, seed=seed)
    weight = weight.sign() if ties else weight
    for width, count in ((inputs, int(inputs * sparsity)), (weight.numel(), int(weight.numel() * sparsity))):
        found = zero_lowest(weight, weight.abs(), width, count)
        for before, after in zip(weight.view(-1, width), found.view(-1, width), strict=True):
            gone = after == 0
            assert int(gone.sum()) == count
            assert torch.equal(after[~gone], before[~gone])
            if 0 < count < width:
                assert before[gone].abs().max() <= before[~gone].abs().min()


@pytest.mark.parametrize("rule", ["magnitude", "random"])
@pytest.mark.parametrize("scope", ["row", "layer", "global"])
@pytest.mark.parametrize("sparsity", [0.0, 0.29, 0.5, 0.875])
def test_counts_of_a_model(rule: str, scope: str, sparsity: float) -> None:
    strategy, numbers = strategy_of("prune", T5, rule=rule, scope=scope, calibration="none")
    before = weights_of(strategy.learner)
    strategy.compress(Compress(sparsity=sparsity))
    zeros, total = zeros_by_layer(strategy), sum(weight.numel() for weight in before.values())
    if scope == "global":
        assert sum(zeros.values()) == int(total * sparsity)
    for name, weight in weights_of(strategy.learner).items():
        if scope == "row":
            assert ((weight == 0).sum(dim=1) == int(weight.shape[1] * sparsity)).all()
        elif scope == "layer":
            assert zeros[name] == int(weight.numel() * sparsity)
        share = zeros[name] / weight.numel() if scope == "global" else sparsity
        assert strategy.allocation[name] == pytest.approx(share)
    assert numbers["compress/sparsity"] == sum(zeros.values()) / total


def test_global_magnitude_against_one_sort_of_all_weights() -> None:
    strategy, _ = strategy_of("prune", T5, scope="global")
    before = weights_of(strategy.learner)
    strategy.compress(Compress(sparsity=0.6))
    sizes = np.sort(np.concatenate([weight.abs().flatten().numpy() for weight in before.values()]))
    threshold = sizes[int(len(sizes) * 0.6)]
    for name, weight in weights_of(strategy.learner).items():
        assert torch.equal(weight, torch.where(before[name].abs() < threshold, 0, before[name]))
    assert len(set(strategy.allocation.values())) > 1


@pytest.mark.parametrize("pattern", ["2:4", "4:8", "1:4", "3:4", "1:2"])
@pytest.mark.parametrize("rule", ["magnitude", "wanda", "random"])
def test_every_group_of_m_has_n_zeros(pattern: str, rule: str) -> None:
    zeros, width = map(int, pattern.split(":"))
    strategy, numbers = strategy_of("prune", T5, rule=rule, pattern=pattern)
    before = weights_of(strategy.learner)
    strategy.compress(Compress(sparsity=zeros / width))
    for name, weight in weights_of(strategy.learner).items():
        assert ((weight.view(-1, width) == 0).sum(dim=1) == zeros).all()
        if rule == "magnitude":
            kept = before[name].abs().view(-1, width).topk(width - zeros).values.sum()
            torch.testing.assert_close(weight.abs().sum(), kept)
    assert set(strategy.allocation.values()) == {zeros / width}
    assert numbers["compress/sparsity"] == zeros / width


@pytest.mark.parametrize("rule", ["magnitude", "wanda", "random"])
def test_pruning_again_keeps_the_earlier_zeros(rule: str) -> None:
    strategy, _ = strategy_of("prune", LLAMA, rule=rule, scope="row")
    strategy.compress(Compress(sparsity=0.25))
    first = weights_of(strategy.learner)
    strategy.compress(Compress(sparsity=0.5))
    for name, weight in weights_of(strategy.learner).items():
        assert not weight[first[name] == 0].any()
        assert ((weight == 0).sum(dim=1) == weight.shape[1] // 2).all()


def test_random_zeros_are_decided_by_the_seed() -> None:
    digests = []
    for seed in (0, 0, 1):
        strategy, _ = strategy_of("prune", LLAMA, rule="random", seed=seed)
        strategy.compress(Compress(sparsity=0.5))
        digests.append(strategy.digest())
    assert digests[0] == digests[1] != digests[2]


def test_later_blocks_see_inputs_from_pruned_ones() -> None:
    """`sequential` by hand: measure a block, prune it, measure the next one."""
    strategy, numbers = strategy_of("prune", LLAMA, rule="wanda")
    strategy.compress(Compress(sparsity=0.5))
    by_hand, _ = strategy_of("prune", LLAMA, rule="wanda")
    layers, module = by_hand.learner.linear_layers(), by_hand.learner.module
    for block in range(1 + max(layer.block for layer in layers)):
        here = [layer for layer in layers if layer.block == block]
        moments = Calibration.draw(by_hand.context, by_hand.seen, by_hand.config).inputs(here)
        for layer in here:
            weight = module.get_submodule(layer.name).weight
            order = (weight.detach().abs() * moments[layer.name].norms).argsort(dim=1)
            weight.detach().scatter_(1, order[:, : weight.shape[1] // 2], 0.0)
    assert strategy.digest() == by_hand.digest()
    assert numbers["compress/evaluations"] == 2 + block + 1
    once, other = strategy_of("prune", LLAMA, rule="wanda", sequential=False)
    once.compress(Compress(sparsity=0.5))
    assert other["compress/evaluations"] == 3
    assert once.digest() != strategy.digest()


def test_norms_of_padding_would_prune_other_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = []
    for blind in (False, True):
        strategy, _ = strategy_of("prune", T5, rule="wanda")
        if blind:
            monkeypatch.setattr(type(strategy.learner), "real_tokens", lambda self, batch, layer: None)
        strategy.compress(Compress(sparsity=0.5))
        digests.append(strategy.digest())
    assert digests[0] != digests[1]


# Sizes


def test_bytes_of_a_layer() -> None:
    """A bitmap and 4 bytes for each weight that is left; all in float32 where that is less."""
    n = 768 * 768
    assert bits_of(n, n // 2) == 8 * 1_253_376
    assert bits_of(n, 0) == 8 * 2_359_296
    assert bits_of(64, 2) == 64 * 32
    assert bits_of(64, 3) == 64 + 61 * 32


def test_bytes_of_mini_clip_by_hand() -> None:
    strategy, numbers = mini("prune", "mini-clip", calibration="none")
    strategy.compress(Compress(sparsity=0.5))
    weights = 1_622_016
    assert numbers["compress/bytes"] == 4 * (1_903_681 - weights) + weights // 8 + 4 * weights // 2
    assert numbers["compress/bits"] == 1 + 32 / 2
    assert numbers["calibration/samples"] == numbers["compress/evaluations"] == 0


@pytest.mark.parametrize("settings", [{}, {"scope": "row"}, {"scope": "global"}, {"allocate": "random"}])
def test_budgets_of_bytes_are_used_up(settings: dict[str, Any]) -> None:
    whole, numbers = strategy_of("prune", LLAMA, calibration="none")
    whole.compress(Compress(sparsity=0))
    most = int(numbers["compress/bytes"])
    assert most == numbers["compress/bytes_parent"]
    weights = sum(weight.numel() for weight in weights_of(whole.learner).values())
    for share in (0.2, 0.5, 0.9):
        budget = most - int(4 * weights * share)
        strategy, found = strategy_of("prune", LLAMA, calibration="none", **settings)
        strategy.compress(Compress(bytes=budget))
        step = 4 * weights * (0.001 if settings.get("scope") != "row" else 1 / 16)  # rows have 16 weights and more
        assert budget - step - 4 * len(strategy.allocation) <= found["compress/bytes"] <= budget
    strategy.compress(Compress(bytes=most))


def test_random_shares_take_the_bytes_of_the_uniform_one() -> None:
    uniform, numbers = strategy_of("prune", T5)
    uniform.compress(Compress(sparsity=0.5))
    for seed in range(3):
        strategy, other = strategy_of("prune", T5, allocate="random", seed=seed)
        strategy.compress(Compress(sparsity=0.5))
        assert len(set(strategy.allocation.values())) > 5
        assert 0 <= numbers["compress/bytes"] - other["compress/bytes"] < 8  # one weight more would be 4 bytes
        assert other["compress/sparsity"] == pytest.approx(0.5, abs=0.03)


def test_budgets_below_the_smallest_version_are_refused() -> None:
    small, _ = strategy_of("prune", LLAMA)
    large, _ = mini("prune", "mini-llama", 1, allocate="random")
    for strategy, update in ((small, Compress(bytes=100)), (large, Compress(sparsity=0.9999))):
        with pytest.raises(ConfigError, match=r"prune: the budget must be at least [\d,]+ bytes, of which [\d,]+ are"):
            strategy.check_budget(update)


# Models


@pytest.mark.parametrize("learner", MINIS)
def test_models_that_ship(learner: str) -> None:
    """Wanda and magnitude are far better than chance, and nothing else than the weights of layers changes."""
    errors = {}
    for rule in ("magnitude", "wanda", "random"):
        strategy, numbers = mini("prune", learner, calibration_samples=32, rule=rule, scope="row")
        before = {name: tensor.clone() for name, tensor in strategy.learner.state_dict().items()}
        strategy.compress(Compress(sparsity=0.5))
        compressed = {f"{layer.name}.weight" for layer in strategy.learner.linear_layers()}
        for name, tensor in strategy.learner.state_dict().items():
            assert torch.equal(tensor, before[name]) == (name not in compressed), name
        errors[rule] = numbers["compress/mse"]
        assert numbers["compress/sparsity"] == 0.5
        assert {value for name, value in numbers.items() if name.startswith("compress/sparsity/")} == {0.5}
    assert max(errors["magnitude"], errors["wanda"]) < errors["random"]


def test_a_second_pruning_counts_the_first_ones_bytes() -> None:
    strategy, numbers = strategy_of("prune", LLAMA)
    strategy.compress(Compress(sparsity=0.5))
    first = numbers["compress/bytes"]
    strategy.compress(Compress(sparsity=0.75))
    assert numbers["compress/bytes_parent"] == first > numbers["compress/bytes"]
    assert strategy.state_dict()["allocation"] == dict.fromkeys(weights_of(strategy.learner), 0.75)


# Refusals


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pattern": "2-4"}, "pattern must be"),
        ({"pattern": "4:4"}, "pattern N:M needs N below M, got 4:4"),
        ({"pattern": "2:4", "scope": "row"}, "leave out scope and allocate"),
        ({"pattern": "2:4", "allocate": "random"}, "leave out scope and allocate"),
        ({"rule": "wanda", "scope": "global"}, "scope must be row or layer, got global"),
        ({"scope": "global", "allocate": "random"}, "leave out allocate"),
    ],
)
def test_settings_that_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        strategy_of("prune", LLAMA, **settings)


@pytest.mark.parametrize(
    ("settings", "update", "message"),
    [
        ({}, {"bits": 4}, "strategy prune: the budget must be sparsity or bytes, got bits"),
        ({"pattern": "2:4"}, {"sparsity": 0.6}, r"pattern 2:4: sparsity must be 0.5, got 0.6"),
        ({"pattern": "5:10"}, {"sparsity": 0.5}, r"inputs of layer \S+ must be a multiple of 10, got 16"),
    ],
)
def test_budgets_that_are_refused(settings: dict[str, Any], update: dict[str, Any], message: str) -> None:
    strategy, _ = strategy_of("prune", LLAMA, **settings)
    with pytest.raises(ConfigError, match=message):
        strategy.check_budget(Compress(**update))


def test_wanda_needs_samples() -> None:
    for tasks, calibration, why in (([], "seen", "no task that was learnt"), (TEXTS, "none", "calibration: none")):
        strategy, _ = strategy_of("prune", LLAMA, tasks, rule="wanda", calibration=calibration)
        with pytest.raises(ConfigError, match=f"prune: rule: wanda needs calibration samples, got {why}"):
            strategy.compress(Compress(sparsity=0.5))
