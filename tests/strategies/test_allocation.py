"""Allocators, on costs by hand and on any costs."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies.compressed import LLAMA, strategy_of

from clbench.core.errors import ConfigError
from clbench.core.seeding import generator_for
from clbench.spec.update import Compress
from clbench.strategies._compression import allocation
from clbench.strategies._compression.allocation import ALLOCATORS, AllocationProblem, Level, random, uniform


def problem(sizes: list[int], levels: list[int], budget: int, seed: int = 0) -> AllocationProblem:
    """Layers a, b, ... whose cost is their size times the level."""
    units = dict(zip("abcdefgh", sizes, strict=False))

    def no_model(chosen: Mapping[str, Level]) -> float:
        raise AssertionError(chosen)

    cost = lambda unit, level: int(units[unit] * level)  # noqa: E731
    return AllocationProblem(tuple(units), levels, cost, budget, no_model, generator_for(seed, "test"))


def test_uniform_takes_the_last_level_that_fits() -> None:
    for budget, level in ((6, 2), (8, 2), (9, 3), (11, 3), (12, 4), (1000, 4)):
        assert uniform(problem([1, 2], [2, 3, 4], budget)) == {"a": level, "b": level}


@given(
    sizes=st.lists(st.integers(1, 50), min_size=1, max_size=8),
    levels=st.sets(st.integers(1, 16), min_size=1, max_size=6).map(sorted),
    spare=st.integers(0, 600),
    seed=st.integers(0, 99),
)
def test_random_is_within_the_budget_and_no_layer_can_be_raised(
    sizes: list[int], levels: list[int], spare: int, seed: int
) -> None:
    given_problem = problem(sizes, levels, levels[0] * sum(sizes) + spare, seed)
    chosen = random(given_problem)
    left = given_problem.budget - given_problem.cost(chosen)
    assert left >= 0
    for (unit, level), size in zip(chosen.items(), sizes, strict=True):
        assert level in levels
        higher = [other for other in levels if other > level]
        assert not higher or size * (higher[0] - int(level)) > left, unit


def test_random_gives_every_allocation_of_a_small_problem() -> None:
    """Two equal layers, levels 1 to 3, budget 4: only 1 + 3, 2 + 2 and 3 + 1 leave nothing over."""
    found = {tuple(random(problem([1, 1], [1, 2, 3], 4, seed)).values()) for seed in range(60)}
    assert found == {(1, 3), (2, 2), (3, 1)}


def test_random_is_decided_by_the_generator() -> None:
    wide = [random(problem([3, 4, 5, 6, 7], [2, 4, 8], 120, seed)) for seed in (0, 0, 1, 2)]
    assert wide[0] == wide[1]
    assert wide[0] != wide[2] or wide[0] != wide[3]


def test_an_allocator_can_measure_allocations_and_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    errors: list[float] = []

    def coarse_then_fine(given_problem: AllocationProblem) -> dict[str, Level]:
        for level in given_problem.levels:
            errors.append(given_problem.evaluate(dict.fromkeys(given_problem.units, level)))
        return uniform(given_problem)

    monkeypatch.setitem(ALLOCATORS, "measured", coarse_then_fine)
    settings: dict[str, Any] = {"widths": (2, 4, 8)}
    strategy, numbers = strategy_of("quantize", LLAMA, allocate="measured", **settings)
    plain, plain_numbers = strategy_of("quantize", LLAMA, **settings)
    for other in (strategy, plain):
        other.compress(Compress(bits=8))
    assert errors[0] > errors[1] > errors[2] == numbers["compress/mse"] > 0
    assert numbers["compress/evaluations"] == plain_numbers["compress/evaluations"] + len(errors)
    assert strategy.digest() == plain.digest()
    blind, _ = strategy_of("quantize", LLAMA, allocate="measured", calibration="none", **settings)
    before = blind.digest()
    with pytest.raises(ConfigError, match=r"allocate: measured needs calibration samples with scores .*, got none"):
        blind.compress(Compress(bits=8))
    assert blind.digest() == before


def test_the_table_of_allocators_has_their_names() -> None:
    assert {name: getattr(allocation, name) for name in ALLOCATORS} == ALLOCATORS
    with pytest.raises(ConfigError, match=r"allocate must be an allocator \(did you mean 'uniform'\?\)"):
        strategy_of("quantize", LLAMA, allocate="unform")


def test_draws_do_not_touch_the_global_generator() -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    random(problem([3, 4, 5], [2, 4, 8], 50))
    assert torch.equal(torch.get_rng_state(), state)
