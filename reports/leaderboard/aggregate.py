"""Rows over seeds: mean and standard error of every metric, losers and failures included; pure functions."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TypeVar, final

import numpy as np

from clbench.reports.leaderboard.logged_cell import CHALLENGE, COST, Cell
from clbench.reports.matrix import ScoreMatrix
from clbench.reports.metrics._compute import compute_all

ORDERED_BY = "average_accuracy"
TEST = "test"

K = TypeVar("K")
V = TypeVar("V")


@final
@dataclass(frozen=True)
class Estimate:
    """A metric over seeds: mean, standard error of the mean (None for one seed), and over how many seeds."""

    mean: float
    standard_error: float | None
    n: int


@final
@dataclass(frozen=True)
class Result:
    """What a strategy reached under one protocol.

    Args:
        metrics: Over the seeds for which each is defined.
        undefined: The reason, for metrics that are defined for no seed.
        matrix: Mean over the seeds, NaN where a seed lacks the cell; None where seeds differ in the order of tasks.
    """

    metrics: Mapping[str, Estimate]
    undefined: Mapping[str, str]
    matrix: ScoreMatrix | None


@final
@dataclass(frozen=True)
class Standing:
    """A strategy with its settings on one stream and learner: one row of a table."""

    label: str
    strategy: str
    finished: tuple[Cell, ...]
    failed: tuple[Cell, ...]
    results: Mapping[str, Result]
    cost: Mapping[str, Estimate]
    challenge: Mapping[str, Estimate]
    notes: tuple[str, ...]


@final
@dataclass(frozen=True)
class Section:
    """All strategies that were run on one stream, learner and split, the best first."""

    stream: str
    learner: str
    budget: str
    split: str
    protocols: tuple[str, ...]
    standings: tuple[Standing, ...]

    @property
    def is_test(self) -> bool:
        """Whether these are results; scores of any other split only serve to choose settings."""
        return self.split == TEST


def aggregate(cells: Iterable[Cell]) -> list[Section]:
    """Group the cells by stream, learner, budget and split, then by strategy with its settings.

    Returns:
        Sections on test data first, then the others, each group by stream, learner and budget.
    """
    groups = _grouped(cells, lambda cell: (cell.split != TEST, cell.stream, cell.learner, cell.budget, cell.split))
    return [_section(groups[key]) for key in sorted(groups)]


def costs(section: Section) -> dict[str, str]:
    """The costs that a section's runs tell, and their headings."""
    return {name: heading for name, heading in COST.items() if any(name in s.cost for s in section.standings)}


def challenge(section: Section) -> dict[str, str]:
    """The challenge metrics that a section's runs tell, and their headings."""
    return {name: title for name, title in CHALLENGE.items() if any(name in s.challenge for s in section.standings)}


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and its standard error s / sqrt(n), with s the sample standard deviation (n - 1)."""
    n = len(values)
    return Estimate(fmean(values), stdev(values) / math.sqrt(n) if n > 1 else None, n)


def mean_matrix(matrices: Sequence[ScoreMatrix]) -> ScoreMatrix | None:
    """The mean of each cell that all matrices have, NaN elsewhere; None where the order of tasks differs."""
    if len({(matrix.tasks, matrix.releases) for matrix in matrices}) != 1:
        return None
    mean = np.mean([matrix.scores for matrix in matrices], axis=0)
    return ScoreMatrix(matrices[0].tasks, mean, matrices[0].releases)


def _section(cells: Sequence[Cell]) -> Section:
    standings = [_standing(group) for group in _grouped(cells, lambda cell: cell.label).values()]
    protocols = tuple(dict.fromkeys(name for cell in cells for name in cell.matrices))

    def rank(standing: Standing) -> tuple[float, str]:
        result = standing.results.get(protocols[0]) if protocols else None
        best = result.metrics.get(ORDERED_BY) if result else None
        return (-best.mean if best else math.inf, standing.label)

    first = cells[0]
    return Section(
        first.stream, first.learner, first.budget, first.split, protocols, tuple(sorted(standings, key=rank))
    )


def _standing(cells: Sequence[Cell]) -> Standing:
    by_seed = _grouped(sorted(cells, key=lambda cell: (cell.finished, cell.started)), lambda cell: cell.seed)
    notes = tuple(
        f"seed {seed} was run with {len(several)} configurations or versions of the code; the newest result is shown"
        for seed, several in sorted(by_seed.items())
        if len(several) > 1
    )
    kept = sorted((several[-1] for several in by_seed.values()), key=lambda cell: (len(cell.seed), cell.seed))
    finished = tuple(cell for cell in kept if cell.finished)
    matrices: dict[str, list[ScoreMatrix]] = {}
    for cell in finished:
        for protocol, matrix in cell.matrices.items():
            matrices.setdefault(protocol, []).append(matrix)
    return Standing(
        label=cells[0].label,
        strategy=cells[0].strategy,
        finished=finished,
        failed=tuple(cell for cell in kept if not cell.finished),
        results={protocol: _result(several) for protocol, several in matrices.items()},
        cost=_told(COST, [cell.cost for cell in finished]),
        challenge=_told(CHALLENGE, [cell.challenge for cell in finished]),
        notes=notes,
    )


def _told(names: Iterable[str], numbers: Sequence[Mapping[str, float]]) -> dict[str, Estimate]:
    """Estimates of what runs say of themselves, over those that say it."""
    found = {name: [told[name] for told in numbers if name in told] for name in names}
    return {name: estimate(values) for name, values in found.items() if values}


def _result(matrices: Sequence[ScoreMatrix]) -> Result:
    reports = [compute_all(matrix) for matrix in matrices]
    metrics: dict[str, Estimate] = {}
    undefined: dict[str, str] = {}
    for name in reports[0].values:
        values = [value for report in reports if (value := report.values[name]) is not None]
        if values:
            metrics[name] = estimate(values)
        else:
            undefined[name] = reports[0].undefined[name]
    return Result(metrics, undefined, mean_matrix(matrices))


def _grouped(items: Iterable[V], key: Callable[[V], K]) -> dict[K, list[V]]:
    groups: dict[K, list[V]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups
