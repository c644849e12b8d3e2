"""Rows over seeds: mean and standard error of every metric, with failed runs; pure functions."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar, final

import numpy as np

from clbench.reports.audit_table import AuditRow, audit_rows
from clbench.reports.estimates import Estimate, estimate
from clbench.reports.headings import CALIBRATION, CHALLENGE, COSTS, SIZE, STREAM_FLIPS
from clbench.reports.leaderboard.logged_cell import LoggedCell
from clbench.reports.matrix import ScoreMatrix
from clbench.reports.result import CellResult
from clbench.reports.update_table import UpdateRow, update_rows

ORDERED_BY = "average_accuracy"
TEST = "test"

K = TypeVar("K")
V = TypeVar("V")


@final
@dataclass(frozen=True)
class SeedsResult:
    """Results of a strategy over its seeds under one protocol.

    Args:
        metrics: Estimates over the seeds for which a metric is defined.
        undefined: Reasons of the metrics that are defined for no seed.
        matrix: Mean over the seeds, NaN where a seed lacks the cell; None where tasks or updates differ between seeds.
        update_rows: What each update cost; empty for streams that only learn their tasks, and for streams of releases.
        by_seed: The numbers behind the estimates, by metric, then seed.
    """

    metrics: Mapping[str, Estimate]
    undefined: Mapping[str, str]
    matrix: ScoreMatrix | None
    update_rows: Sequence[UpdateRow] = ()
    by_seed: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@final
@dataclass(frozen=True)
class Standing:
    """A strategy with its settings on one stream and learner: one row of a table.

    Args:
        label: The strategy with its settings, as tables show it.
        strategy: Registered name.
        finished: Cells with a result, one for each seed.
        failed: Cells without a result.
        results: By protocol.
        cost: Estimates by `cost/<name>`.
        challenge: Estimates of the challenge metrics of the last version, by `challenge/<kind>/<metric>`.
        notes: Remarks for the page, one sentence each.
        audits: What is left of forgotten samples; empty where nothing was asked to be forgotten.
        missing: Seeds that other strategies of the section have and this one lacks.
    """

    label: str
    strategy: str
    finished: tuple[LoggedCell, ...]
    failed: tuple[LoggedCell, ...]
    results: Mapping[str, SeedsResult]
    cost: Mapping[str, Estimate]
    challenge: Mapping[str, Estimate]
    notes: tuple[str, ...]
    audits: Sequence[AuditRow] = ()
    missing: tuple[str, ...] = ()


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


def aggregate(cells: Iterable[LoggedCell]) -> list[Section]:
    """Group the cells by stream, learner, budget and split, then by strategy with its settings.

    Returns:
        Sections on test data first, then the others, each group by stream, learner and budget.
    """
    groups = _grouped(cells, lambda cell: (cell.split != TEST, cell.stream, cell.learner, cell.budget, cell.split))
    return [_section(groups[key]) for key in sorted(groups)]


def costs(section: Section) -> dict[str, str]:
    """Names and headings of the costs that some run of a section has."""
    return {name: heading.long for name, heading in COSTS.items() if any(name in s.cost for s in section.standings)}


def challenge(section: Section) -> dict[str, str]:
    """Names and headings of the challenge metrics that some run of a section has."""
    found = {name for standing in section.standings for name in standing.challenge}
    return {name: heading.with_arrow for name, heading in CHALLENGE.items() if name in found}


def mean_matrix(matrices: Sequence[ScoreMatrix]) -> ScoreMatrix | None:
    """The mean of each cell that all matrices have, NaN elsewhere; None where tasks or updates differ."""
    if len({(matrix.tasks, matrix.updates) for matrix in matrices}) != 1:
        return None
    mean = np.mean([matrix.scores for matrix in matrices], axis=0)
    return ScoreMatrix(matrices[0].tasks, mean, matrices[0].updates)


def _section(cells: Sequence[LoggedCell]) -> Section:
    seeds = sorted({cell.seed for cell in cells}, key=lambda seed: (len(seed), seed))
    groups = _grouped(cells, lambda cell: cell.label).values()
    standings = [replace(_standing(group), missing=_lacking(group, seeds)) for group in groups]
    protocols = tuple(dict.fromkeys(name for cell in cells if cell.result for name in cell.result.protocols))

    def rank(standing: Standing) -> tuple[float, str]:
        result = standing.results.get(protocols[0]) if protocols else None
        best = result.metrics.get(ORDERED_BY) if result else None
        return (-best.mean if best else math.inf, standing.label)

    first = cells[0]
    return Section(
        first.stream, first.learner, first.budget, first.split, protocols, tuple(sorted(standings, key=rank))
    )


def _lacking(cells: Sequence[LoggedCell], seeds: Sequence[str]) -> tuple[str, ...]:
    own = {cell.seed for cell in cells}
    return tuple(seed for seed in seeds if seed not in own)


def _standing(cells: Sequence[LoggedCell]) -> Standing:
    by_seed = _grouped(sorted(cells, key=lambda cell: (cell.finished, cell.started)), lambda cell: cell.seed)
    notes = tuple(
        f"seed {seed} was run with {len(several)} configurations or versions of the code; the newest result is shown"
        for seed, several in sorted(by_seed.items())
        if len(several) > 1
    )
    kept = sorted((several[-1] for several in by_seed.values()), key=lambda cell: (len(cell.seed), cell.seed))
    finished = tuple(cell for cell in kept if cell.finished)
    results = [cell.result for cell in finished if cell.result]
    protocols = dict.fromkeys(protocol for result in results for protocol in result.protocols)
    return Standing(
        label=cells[0].label,
        strategy=cells[0].strategy,
        finished=finished,
        failed=tuple(cell for cell in kept if not cell.finished),
        results={protocol: _over_seeds(finished, protocol) for protocol in protocols},
        cost=_estimates(COSTS, [result.costs for result in results]),
        challenge=_estimates(CHALLENGE, [result.challenge_numbers(result.last_version) for result in results]),
        notes=notes,
        audits=audit_rows(results),
    )


def _estimates(names: Iterable[str], numbers: Sequence[Mapping[str, float]]) -> dict[str, Estimate]:
    """Estimates of the numbers of runs, each over the runs that have it."""
    found = {name: [of_run[name] for of_run in numbers if name in of_run] for name in names}
    return {name: estimate(values) for name, values in found.items() if values}


def _over_seeds(cells: Sequence[LoggedCell], protocol: str) -> SeedsResult:
    having = [(cell, cell.result) for cell in cells if cell.result and protocol in cell.result.protocols]
    results = [result for _, result in having]
    undefined = results[0].protocols[protocol].last.undefined
    by_seed: dict[str, dict[str, float]] = {}
    for cell, result in having:
        for name, value in _numbers(cell, result, protocol).items():
            by_seed.setdefault(name, {})[cell.seed] = value
    return SeedsResult(
        metrics={name: estimate(list(values.values())) for name, values in by_seed.items()},
        undefined={name: reason for name, reason in undefined.items() if name not in by_seed},
        matrix=mean_matrix([result.matrix(protocol) for result in results]),
        update_rows=update_rows(results, protocol),
        by_seed=by_seed,
    )


def _numbers(cell: LoggedCell, result: CellResult, protocol: str) -> dict[str, float]:
    """Metrics, flips, calibration and costs of a cell, as far as they are defined."""
    last = result.protocols[protocol].last
    found = {name: value for name, value in last.metrics.items() if value is not None}
    found |= {name: last.flips[name] for name in STREAM_FLIPS if name in last.flips}
    found |= {SIZE: last.update[SIZE]} if SIZE in last.update else {}
    found |= {name: result.costs[name] for name in COSTS if name in result.costs}
    if protocol in cell.calibration:
        found[CALIBRATION] = cell.calibration[protocol]
    return found


def _grouped(items: Iterable[V], key: Callable[[V], K]) -> dict[K, list[V]]:
    groups: dict[K, list[V]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups
