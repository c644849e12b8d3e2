"""Allocators: how a budget of bits is divided among the layers of a model."""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import torch

Level: TypeAlias = float | Fraction
"""How strongly a layer is compressed: bits of a code, or share of zeros; a fraction makes a count of zeros exact."""
Allocation: TypeAlias = dict[str, Level]
"""The level of each layer, by the layer's name."""


@dataclass(frozen=True)
class AllocationProblem:
    """What an allocator is given.

    Attributes:
        units: Names of the layers.
        levels: The levels that a layer may get, in the order of rising cost.
        cost_of: Bits that a layer takes at a level; must not fall from one level to the next.
        budget: Largest number of bits of all layers together; at least their cost at the first level.
        evaluate: Error of the model under an allocation, lower is better; every call is a pass over the calibration
            samples or more.
        generator: Source of randomness, on the CPU.
    """

    units: Sequence[str]
    levels: Sequence[Level]
    cost_of: Callable[[str, Level], int]
    budget: int
    evaluate: Callable[[Mapping[str, Level]], float]
    generator: torch.Generator

    def cost(self, allocation: Mapping[str, Level]) -> int:
        """Bits of all layers together."""
        return sum(self.cost_of(unit, level) for unit, level in allocation.items())


Allocator: TypeAlias = Callable[[AllocationProblem], Allocation]


def uniform(problem: AllocationProblem) -> Allocation:
    """The same level for all layers: the last one that fits."""

    def same(level: Level) -> Allocation:
        return dict.fromkeys(problem.units, level)

    return same(last_that_fits(problem.levels, lambda level: problem.cost(same(level)), problem.budget))


def random(problem: AllocationProblem) -> Allocation:
    """Levels by chance, as a control of allocators that choose.

    Each layer draws a level. While they do not fit, a random layer draws a lower one. Then random layers draw higher
    ones that fit, until no layer can be raised by one level.
    """
    levels, draw = problem.levels, _Dice(problem.generator)
    places = {unit: draw.below(len(levels)) for unit in problem.units}
    left = problem.budget - problem.cost({unit: levels[place] for unit, place in places.items()})

    def price(unit: str, place: int) -> int:
        return problem.cost_of(unit, levels[place]) - problem.cost_of(unit, levels[places[unit]])

    def move(unit: str, place: int) -> int:
        rest = left - price(unit, place)
        places[unit] = place
        return rest

    while left < 0:
        unit = draw.one_of([unit for unit, place in places.items() if place])
        left = move(unit, draw.below(places[unit]))
    while True:
        last = len(levels) - 1
        raisable = [unit for unit, place in places.items() if place < last and price(unit, place + 1) <= left]
        if not raisable:
            return {unit: levels[place] for unit, place in places.items()}
        unit = draw.one_of(raisable)
        higher = range(places[unit] + 1, len(levels))
        fitting = bisect_right(higher, left, key=lambda place: price(unit, place))
        left = move(unit, higher[draw.below(fitting)])


ALLOCATORS: dict[str, Allocator] = {"uniform": uniform, "random": random}
"""Allocators by the name that settings give."""


def last_that_fits(levels: Sequence[Level], cost: Callable[[Level], int], budget: int) -> Level:
    """The last level whose cost is within the budget.

    Args:
        levels: Levels in the order of rising cost; the first one counts as within the budget.
        cost: Cost of a level.
        budget: Largest cost.
    """
    return levels[bisect_right(levels, budget, lo=1, key=cost) - 1]


class _Dice:
    """Whole numbers from a generator."""

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator

    def below(self, end: int) -> int:
        """A number from 0 to end - 1."""
        return int(torch.randint(end, (), generator=self._generator))

    def one_of(self, names: Sequence[str]) -> str:
        """One of some names."""
        return names[self.below(len(names))]
