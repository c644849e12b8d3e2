"""Quantisation: numbers worked out by hand, other implementations, sizes, refusals, models that ship."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies.compressed import LLAMA, MINIS, T5, mini, strategy_of, weights_of
from torch import Tensor

from clbench.core.errors import ConfigError
from clbench.spec.update import Compress
from clbench.strategies._compression.calibration import Calibration
from clbench.strategies._compression.round_to_nearest import RoundingConfig, encode

HAND = torch.tensor([[0.25, -1.75, 0.75, 0.0], [0.5, 0.5, -0.5, 0.125]])
ROWS = RoundingConfig()
ASYMMETRIC = RoundingConfig(symmetric=False)


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def rounded(weight: Tensor, bits: int, config: RoundingConfig = ROWS) -> Tensor:
    return encode(weight, bits, config).weights()


def relative_error(weight: Tensor, bits: int, config: RoundingConfig = ROWS) -> float:
    return float((rounded(weight, bits, config) - weight).norm() / weight.norm())


# Rounding


def test_codes_by_hand() -> None:
    found = encode(HAND, 4, ROWS)
    assert found.codes.flatten(1).tolist() == [[1, -7, 3, 0], [7, 7, -7, 2]]
    assert float(found.scale[0]) == 0.25
    assert float(found.scale[1]) == pytest.approx(1 / 14, rel=2**-8)  # in bfloat16


def test_codes_with_a_zero_point_by_hand() -> None:
    """2 bits, range -0.5 to 1: steps of 0.5, zero point 1; a range that does not reach 0 is extended to 0."""
    found = encode(torch.tensor([[-0.5, 1.0, 0.2, 0.3], [0.75, 1.5, 0.5, 0.25]]), 2, ASYMMETRIC)
    assert found.codes.flatten(1).tolist() == [[0, 3, 1, 2], [2, 3, 1, 0]]  # 0.25 is half a step: to the even code
    assert found.zero_point.flatten().tolist() == [1, 0]
    assert found.weights().tolist() == [[-0.5, 1.0, 0.0, 0.5], [1.0, 1.5, 0.5, 0.0]]


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("config", [ROWS, RoundingConfig(granularity="group", group=24)], ids=["row", "group"])
def test_rounding_twice_changes_nothing(bits: int, config: RoundingConfig) -> None:
    once = rounded(gaussian(64, 100), bits, config)
    assert torch.equal(rounded(once, bits, config), once)


@pytest.mark.parametrize("config", [ROWS, ASYMMETRIC, RoundingConfig(scale="mse"), RoundingConfig(granularity="group")])
def test_zeros_stay_exactly_zero(config: RoundingConfig) -> None:
    weight = gaussian(8, 100) * (gaussian(8, 100, seed=1) > 0)
    weight[3] = 0
    for bits in (2, 4, 8, 16):
        found = rounded(weight, bits, config)
        assert found.isfinite().all()
        assert not found[weight == 0].any()


@given(
    rows=st.lists(st.lists(st.floats(-100, 100, width=32), min_size=5, max_size=5), min_size=1, max_size=4),
    bits=st.integers(2, 16),
    symmetric=st.booleans(),
)
def test_no_weight_moves_by_more_than_half_a_step(rows: list[list[float]], bits: int, symmetric: bool) -> None:
    weight = torch.tensor(rows)
    found = encode(weight, bits, RoundingConfig(symmetric=symmetric))
    first, last = (1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1) if symmetric else (0, 2**bits - 1)
    assert torch.equal(found.codes, found.codes.round())
    assert first <= float(found.codes.min())
    assert float(found.codes.max()) <= last
    assert torch.equal(found.scale.bfloat16().float(), found.scale)
    gap = (found.weights() - weight).abs() / found.scale[..., 0]
    # The zero point is rounded, too: at an end of the range both halves may add up.
    assert float(gap.max()) <= (0.5 if symmetric else 1.0) + 2 ** (bits - 20)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("group", [None, 16, 40])
def test_against_loops_in_numpy(bits: int, symmetric: bool, group: int | None) -> None:
    """The largest weight of each group makes its scale a power of 2, which bfloat16 has."""
    weight = gaussian(12, 100).clamp(-3, 3).numpy().astype(np.float64)
    size = group or 100
    last = 2 ** (bits - 1) - 1 if symmetric else 2**bits - 1
    wanted = np.empty_like(weight)
    for row in range(12):
        for start in range(0, 100, size):
            part = weight[row, start : start + size]
            part[0] = last * 2.0 ** (row % 3 - 2)
            if symmetric:
                part[1:] = np.clip(part[1:], -part[0], part[0])
                scale = np.abs(part).max() / last
                codes = np.clip(np.rint(part / scale), -last, last)
            else:
                part[1:] = np.clip(part[1:], 0, part[0])
                scale = part.max() / last
                codes = np.clip(np.rint(part / scale), 0, last)
            wanted[row, start : start + size] = codes * scale
    config = RoundingConfig(symmetric=symmetric, granularity="group" if group else "row", group=size)
    assert np.array_equal(rounded(torch.tensor(weight).float(), bits, config).numpy(), np.float32(wanted))


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
@pytest.mark.parametrize("symmetric", [True, False])
def test_against_fake_quantisation_of_torch(bits: int, symmetric: bool) -> None:
    """An operator of torch rounds and clips, given scales and zero points."""
    weight = gaussian(64, 96)
    found = encode(weight, bits, RoundingConfig(symmetric=symmetric))
    first, last = (1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1) if symmetric else (0, 2**bits - 1)
    scale, zero_point = found.scale.flatten(), found.zero_point.flatten().int()
    wanted = torch.fake_quantize_per_channel_affine(weight, scale, zero_point, 0, first, last)
    assert torch.equal(found.weights(), wanted)


@pytest.mark.parametrize("bits", [2, 3, 4, 7])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("group", [96, 32])
def test_against_torchao(bits: int, symmetric: bool, group: int) -> None:
    """The affine quantisation of torchao: `SYMMETRIC` with codes -m to m, or `ASYMMETRIC`; scales rounded to bfloat16.

    Not the same by definition: widths whose scales we round up (above 8 bits, asymmetric above 7); zero points, which
    follow from the scale before it is rounded there, so ours are given to torchao; `scale: mse`.
    """
    primitives: Any = pytest.importorskip("torchao.quantization.quant_primitives", reason="docs/dependencies.md")
    weight = gaussian(64, 96)
    first, last = (1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1) if symmetric else (0, 2**bits - 1)
    kind = primitives.MappingType.SYMMETRIC if symmetric else primitives.MappingType.ASYMMETRIC
    form = ((1, group), torch.int32)
    scale, zero_point = primitives.choose_qparams_affine(weight, kind, *form, first, last, zero_point_dtype=torch.int32)
    scale = scale.bfloat16().float()
    found = encode(weight, bits, RoundingConfig(symmetric=symmetric, granularity="group", group=group))
    assert torch.equal(found.scale.flatten(), scale.flatten())
    ours = found.zero_point.squeeze(-1).int()
    assert int((ours.flatten() - zero_point.flatten()).abs().max()) <= (0 if symmetric else 1)
    scale, zero_point = scale.view_as(ours), ours
    codes = primitives.quantize_affine(weight, (1, group), scale, zero_point, torch.int32, first, last)
    assert torch.equal(found.codes.flatten(1).int(), codes)
    wanted = primitives.dequantize_affine(codes, (1, group), scale, zero_point, torch.int32, first, last)
    assert torch.equal(found.weights(), wanted)


@pytest.mark.parametrize(("bits", "percent"), [(8, 0.7), (4, 12.7), (3, 29), (2, 81)])
def test_error_of_gaussian_rows_of_256(bits: int, percent: float) -> None:
    assert 100 * relative_error(gaussian(2000, 256), bits) == pytest.approx(percent, rel=0.03)


def test_error_falls_with_every_bit_up_to_sixteen() -> None:
    """By about a half each: above 8 bits scales are rounded up, so that nothing is clipped."""
    errors = [relative_error(gaussian(200, 256), bits) for bits in range(2, 17)]
    assert all(finer < 0.56 * coarser for coarser, finer in pairwise(errors[2:]))
    assert errors[-1] < 3e-5


@pytest.mark.parametrize("symmetric", [True, False])
def test_the_best_scale_is_the_best_of_all_that_are_tried(symmetric: bool) -> None:
    """Against a search for each row alone; the grid contains the plain scale, so no row gets worse."""
    weight = gaussian(20, 64) ** 3
    config = RoundingConfig(symmetric=symmetric, scale="mse")
    plain = RoundingConfig(symmetric=symmetric)
    found = (rounded(weight, 3, config) - weight).square().sum(dim=1)
    assert (found <= (rounded(weight, 3, plain) - weight).square().sum(dim=1)).all()
    assert found.sum() < 0.95 * (rounded(weight, 3, plain) - weight).square().sum()
    for row, error in zip(weight.double().numpy(), found, strict=True):
        high = np.abs(row).max() if symmetric else max(row.max(), 0)
        low = -high if symmetric else min(row.min(), 0)
        first, last = (-3, 3) if symmetric else (0, 7)
        errors = []
        for factor in np.linspace(0.5, 1, 100):
            step = float(torch.tensor(factor * (high - low) / (last - first)).bfloat16())
            zero = 0 if symmetric else np.rint(-factor * low / step)
            values = step * (np.clip(np.rint(row / step) + zero, first, last) - zero)
            errors.append(((values - row) ** 2).sum())
        assert float(error) == pytest.approx(min(errors), rel=1e-5)


# Sizes


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({}, 768 * 768 // 2 + 768 * 2),  # 296,448
        ({"granularity": "group", "group": 64}, 768 * 768 // 2 + 768 * 12 * 2),
        ({"granularity": "group", "group": 500}, 768 * 768 // 2 + 768 * 2 * 2),  # 500 and 268
        ({"symmetric": False}, 768 * 768 // 2 + 768 * 2 + 768 // 2),
        ({"scale": "mse"}, 296_448),
    ],
)
def test_bytes_of_a_layer_at_four_bits(settings: dict[str, Any], size: int) -> None:
    assert RoundingConfig(**settings).bits_of((768, 768), 4) == 8 * size


def test_bits_of_a_weight_include_scales() -> None:
    assert round(ROWS.bits_of((768, 768), 4) / 768**2, 3) == 4.021


def test_bytes_of_mini_clip_by_hand() -> None:
    """1,903,681 values, of which 1,622,016 in layers with 8,064 rows in all."""
    strategy, numbers = mini("quantize", "mini-clip", calibration="none")
    strategy.compress(Compress(bits=4))
    rest = 4 * (1_903_681 - 1_622_016)
    assert numbers["compress/bytes_parent"] == 4 * 1_903_681
    assert numbers["compress/bytes"] == rest + 1_622_016 // 2 + 2 * 8_064
    assert numbers["compress/bits"] == pytest.approx(4 + 16 * 8_064 / 1_622_016)
    assert set(strategy.allocation.values()) == {4}
    assert numbers["calibration/samples"] == numbers["compress/evaluations"] == 0
    assert "compress/mse" not in numbers


def test_the_widest_codes_within_a_budget_of_bytes() -> None:
    """Between the sizes of two widths the smaller one is taken; all of float32 is kept if it fits."""
    sizes = {}
    for bits in (2, 3, 4, 16, 32):
        strategy, numbers = strategy_of("quantize", LLAMA, calibration="none")
        strategy.compress(Compress(bits=bits))
        sizes[bits] = int(numbers["compress/bytes"])
    assert sizes[32] == numbers["compress/bytes_parent"]
    wanted = {2: sizes[2], 3: sizes[4] - 1, 4: sizes[4], 16: sizes[32] - 1, 32: sizes[32]}
    for bits, budget in wanted.items():
        strategy, numbers = strategy_of("quantize", LLAMA, calibration="none")
        strategy.compress(Compress(bytes=budget))
        assert set(strategy.allocation.values()) == {bits}
        assert numbers["compress/bytes"] == sizes[bits] <= budget
    rest = sizes[32] - 4 * sum(weight.numel() for weight in weights_of(strategy.learner).values())
    for budget in (1, rest, sizes[2] - 1):
        text = rf"at least {sizes[2]:,} bytes, of which {rest:,} are not compressed, got {budget:,} bytes"
        with pytest.raises(ConfigError, match=text):
            strategy.check_budget(Compress(bytes=budget))


def test_random_widths_take_the_bytes_of_the_uniform_one() -> None:
    uniform, numbers = strategy_of("quantize", T5)
    uniform.compress(Compress(bits=4))
    sizes = {name: weight.numel() for name, weight in weights_of(uniform.learner).items()}
    found = []
    for seed in range(3):
        strategy, other = strategy_of("quantize", T5, allocate="random", widths=[2, 3, 4, 6, 8], seed=seed)
        strategy.compress(Compress(bits=4))
        found.append(strategy.allocation)
        assert set(found[-1].values()) <= {2, 3, 4, 6, 8}
        gap = numbers["compress/bytes"] - other["compress/bytes"]
        assert 0 <= gap < min(sizes.values()) * 2 / 8  # a step is two bits at most
    assert found[0] != found[1] != found[2]


# Models


@pytest.mark.parametrize("name", [T5, LLAMA])
def test_with_32_bits_nothing_changes(name: str) -> None:
    strategy, numbers = strategy_of("quantize", name)
    before = strategy.digest()
    strategy.compress(Compress(bits=32))
    assert strategy.digest() == before
    assert numbers["compress/bytes"] == numbers["compress/bytes_parent"]
    assert (numbers["compress/bits"], numbers["compress/mse"]) == (32, 0)


@pytest.mark.parametrize("learner", MINIS)
def test_models_that_ship_are_close_at_eight_bits_and_less_so_at_three(learner: str) -> None:
    errors = []
    for bits in (8, 3):
        strategy, numbers = mini("quantize", learner, calibration_samples=32)
        before = {name: tensor.clone() for name, tensor in strategy.learner.state_dict().items()}
        strategy.compress(Compress(bits=bits))
        compressed = {f"{layer.name}.weight" for layer in strategy.learner.linear_layers()}
        for name, tensor in strategy.learner.state_dict().items():
            assert torch.equal(tensor, before[name]) == (name not in compressed), name
            if name in compressed:
                assert torch.equal(tensor, rounded(before[name], bits))
                assert all(len(row.unique()) <= 2**bits for row in tensor)
        errors.append(numbers["compress/mse"])
        assert numbers["calibration/samples"] == 32
        assert numbers["compress/evaluations"] == 2
        shares = {name: value for name, value in numbers.items() if name.startswith("compress/sparsity/")}
        roles = {f"compress/sparsity/{layer.tower}.{layer.role}" for layer in strategy.learner.linear_layers()}
        assert set(shares) == roles
    assert 0 < 20 * errors[0] < errors[1]


def test_bias_correction_restores_mean_outputs() -> None:
    strategy, _ = mini("quantize", "mini-clip", calibration_samples=32, bias_correction=True, sequential=False)
    learner = strategy.learner
    moments = Calibration.draw(strategy.context, strategy.seen, strategy.config).inputs(learner.linear_layers())
    before = {name: tensor.clone().double() for name, tensor in learner.state_dict().items()}
    strategy.compress(Compress(bits=3))
    after = learner.state_dict()
    for layer in learner.linear_layers():
        weight, bias = f"{layer.name}.weight", f"{layer.name}.bias"
        mean = moments[layer.name].mean
        wanted = before[weight] @ mean + before[bias]
        torch.testing.assert_close(after[weight].double() @ mean + after[bias].double(), wanted, rtol=1e-5, atol=1e-5)
        assert not torch.equal(after[bias].double(), before[bias])


def test_later_blocks_are_corrected_by_inputs_from_quantised_ones() -> None:
    digests = set()
    for sequential in (True, False):
        strategy, numbers = mini(
            "quantize", "mini-clip", calibration_samples=8, bias_correction=True, sequential=sequential
        )
        strategy.compress(Compress(bits=3))
        digests.add(strategy.digest())
        assert numbers["compress/evaluations"] == 2 + (6 if sequential else 1)  # 4 + 2 blocks
    assert len(digests) == 2


# State


def test_a_second_compression_counts_the_first_ones_bytes() -> None:
    first, numbers = strategy_of("quantize", LLAMA)
    first.compress(Compress(bits=8))
    assert first.state_dict()["allocation"] == dict.fromkeys(weights_of(first.learner), 8)
    second, later = strategy_of("quantize", LLAMA)
    second.load_state_dict(first.state_dict())
    second.learner.load_state_dict(first.learner.state_dict())
    assert second.allocation == first.allocation
    second.compress(Compress(bits=4))
    assert later["compress/bytes_parent"] == numbers["compress/bytes"]
    with torch.no_grad():
        next(iter(second.learner.trainable().values())).add_(1)  # trained since: it is float32 again
    second.compress(Compress(bits=4))
    assert later["compress/bytes_parent"] == numbers["compress/bytes_parent"]


def test_state_before_the_first_compression() -> None:
    strategy, _ = strategy_of("quantize", LLAMA)
    other, _ = strategy_of("quantize", LLAMA)
    other.load_state_dict(strategy.state_dict())
    assert other.allocation == {}


# Refusals


@pytest.mark.parametrize(
    ("settings", "update", "message"),
    [
        ({}, {"sparsity": 0.5}, "strategy quantize: the budget must be bits or bytes, got sparsity"),
        ({}, {"bits": 2.5}, "bits must be 2, 3, .*, 16 or 32, got 2.5"),
        ({}, {"bits": 1}, "bits must be .* got 1"),
        ({}, {"bits": 24}, "bits must be .* got 24"),
        ({"widths": [4, 8]}, {"bits": 3}, "bits must be 4, 8 or 32, got 3"),
        ({"widths": [4, 8], "allocate": "random"}, {"bits": 3}, "the budget must be at least .* bytes, of which"),
        ({"bias_correction": True}, {"bits": 4}, "bias_correction: linear layers of tiny-llama have none"),
    ],
)
def test_budgets_that_are_refused(settings: dict[str, Any], update: dict[str, Any], message: str) -> None:
    strategy, _ = strategy_of("quantize", LLAMA, **settings)
    with pytest.raises(ConfigError, match=message):
        strategy.check_budget(Compress(**update))


@pytest.mark.parametrize("widths", [[], [1, 4], [4, 17], [8, 4], [4, 4]])
def test_widths_that_are_refused(widths: list[int]) -> None:
    with pytest.raises(ConfigError, match="strategy quantize: widths must be"):
        strategy_of("quantize", LLAMA, widths=widths)


@pytest.mark.parametrize(
    ("count", "calibration", "why"), [(2, "none", "calibration: none"), (0, "seen", "no task that was learnt")]
)
def test_bias_correction_needs_samples(count: int, calibration: str, why: str) -> None:
    strategy, _ = mini("quantize", "mini-clip", count, bias_correction=True, calibration=calibration)
    before = strategy.digest()
    with pytest.raises(ConfigError, match=f"quantize: bias_correction needs calibration samples, got {why}"):
        strategy.compress(Compress(bits=4))
    assert strategy.digest() == before
