"""Grids: what `--set lr=0.001,0.003` and `--set ewc.strength=1,10` mean for each strategy of a suite."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod

from clbench.benchmarks.engine.cell import Cell
from clbench.benchmarks.engine.suite import label_of
from clbench.benchmarks.tuning.assignments import Grids, is_ordered, owner_of, setting_of
from clbench.benchmarks.tuning.tuned_record import Settings, explicit_settings
from clbench.contracts.strategy import StrategyConfig
from clbench.core.config import validate
from clbench.core.errors import ConfigError, did_you_mean

Point = tuple[int, ...]
"""One combination of a grid: the position in the values of each of its settings."""


@dataclass(frozen=True)
class Variant:
    """A strategy of the suite and the grid of its searched settings.

    Attributes:
        strategy: Registered name.
        given: Settings that the suite sets and the search keeps, as JSON.
        grid: Values by setting; numbers ascend.
        points: Checked settings of every combination; the last setting varies fastest.
        cells: Cells of the suite, one for each seed.
    """

    strategy: str
    given: Settings
    grid: Mapping[str, tuple[object, ...]]
    points: Mapping[Point, StrategyConfig]
    cells: tuple[Cell, ...]

    @property
    def title(self) -> str:
        """Name in tables: the strategy and the settings that the suite gives."""
        return " ".join([self.strategy, *(f"{key}={value}" for key, value in self.given.items())])

    def settings(self, point: Point) -> Settings:
        """The searched settings at a point, as JSON."""
        found = self.points[point].model_dump(mode="json")
        return {key: found[key] for key in self.grid}

    def edges(self, point: Point) -> list[str]:
        """The searched numbers that are the least or the greatest of their grid at a point: `lr=0.004 (highest)`."""
        found = []
        for (key, values), index in zip(self.grid.items(), point, strict=True):
            if len(values) > 1 and is_ordered(values) and index in (0, len(values) - 1):
                found.append(f"{key}={values[index]} ({'highest' if index else 'lowest'})")
        return found

    def cells_at(self, point: Point) -> list[Cell]:
        """The cells of a trial, one a seed."""
        config = self.points[point]
        return [replace(cell, config=config, label=label_of(self.strategy, config)) for cell in self.cells]


def variants_of(cells: Sequence[Cell], grids: Grids) -> tuple[list[Variant], list[str]]:
    """Give every strategy its grid, and check every combination.

    Entries of a suite that differ only in what is searched are one variant.

    Args:
        cells: Cells of one stream and learner, one for each strategy and seed.
        grids: The searched values by key.

    Returns:
        The variants, and the names of strategies that have none of the settings.

    Raises:
        ConfigError: For a key that applies to nothing, a value out of range, or a combination that is there twice.
    """
    groups: dict[str, dict[int, Cell]] = {}
    untuned: dict[str, None] = {}
    for cell in cells:
        own = _grid_of(cell, grids)
        if own:
            key = json.dumps([cell.names[2], _given(cell, own)], sort_keys=True)
            groups.setdefault(key, {}).setdefault(cell.seed, cell)
        else:
            untuned[cell.names[2]] = None
    _require_all_used(cells, grids)
    variants = [_variant(tuple(group.values()), grids) for group in groups.values()]
    return variants, [name for name in untuned if name not in {variant.strategy for variant in variants}]


def trials_of(grids: Grids, variants: Sequence[Variant], wanted: int | None) -> int:
    """Number of trials of every strategy: as wanted, else one for each point of the grid that all strategies share.

    Where no setting is shared, the largest grid of a strategy decides.

    Args:
        grids: The searched values by key.
        variants: Strategies with their grids.
        wanted: Number that the user asked for; None for the default.

    Raises:
        ConfigError: For less than one.
    """
    if wanted is not None:
        if wanted < 1:
            raise ConfigError(f"--trials must be at least 1, got {wanted}")
        return wanted
    shared = [values for key, values in grids.items() if owner_of(key) is None]
    return prod(map(len, shared)) if shared else max(len(variant.points) for variant in variants)


def _variant(cells: tuple[Cell, ...], grids: Grids) -> Variant:
    first = cells[0]
    strategy, grid = first.names[2], _grid_of(first, grids)
    points: dict[Point, StrategyConfig] = {}
    seen: set[str] = set()
    for point in product(*(range(len(values)) for values in grid.values())):
        tried = {key: values[i] for (key, values), i in zip(grid.items(), point, strict=True)}
        settings = {**explicit_settings(first.config), **tried}
        config = validate(type(first.config), settings, f"strategy {strategy}")
        if (text := config.model_dump_json()) in seen:
            raise ConfigError(f"strategy {strategy}: the grid has {json.dumps(tried)} twice")
        seen.add(text)
        points[point] = config
    return Variant(strategy, _given(first, grid), grid, points, cells)


def _grid_of(cell: Cell, grids: Grids) -> dict[str, tuple[object, ...]]:
    """What is searched of a strategy; values for it alone go before those for all."""
    strategy, fields = cell.names[2], type(cell.config).model_fields
    shared = {
        setting_of(key): values for key, values in grids.items() if owner_of(key) is None and setting_of(key) in fields
    }
    return shared | {setting_of(key): values for key, values in grids.items() if owner_of(key) == strategy}


def _given(cell: Cell, searched: Mapping[str, object]) -> Settings:
    found = cell.config.model_dump(mode="json", include=cell.config.model_fields_set)
    return {key: value for key, value in found.items() if key not in searched}


def _require_all_used(cells: Sequence[Cell], grids: Grids) -> None:
    strategies = {cell.names[2] for cell in cells}
    fields = {name for cell in cells for name in type(cell.config).model_fields}
    for key in grids:
        owner, setting = owner_of(key), setting_of(key)
        if owner is not None and owner not in strategies:
            raise ConfigError(f"--set {key}: no strategy {owner!r} in this search: {did_you_mean(owner, strategies)}")
        if owner is None and setting not in fields:
            raise ConfigError(f"--set {key}: no strategy has a setting {setting!r}: {did_you_mean(setting, fields)}")
