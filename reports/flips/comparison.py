"""A comparison of two sides: every count, metric, test and interval, and the worst flips."""

import functools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import duckdb

from clbench.reports.flips.contingency import ContingencyTable
from clbench.reports.flips.flip_counts import (
    Flip,
    FlipCounts,
    count_changes,
    count_classes,
    count_confidence,
    count_tasks,
    graded_tasks,
    worst_flips,
    worst_losses,
)
from clbench.reports.flips.flip_metrics import FLIP_METRICS, accuracy_change, nfr
from clbench.reports.flips.graded import GradedFlips, check_dead_band, graded_flips, graded_intervals
from clbench.reports.flips.pairing import database, pair
from clbench.reports.flips.rows import Rows
from clbench.reports.flips.statistics import Interval, bootstrap, holm, mcnemar_exact, upper_bound

WORST = 500
CLASSES = 200
"""How many of the worst flips and classes are kept."""


@final
@dataclass(frozen=True)
class TaskResult:
    """One task: its counts, the test of its change corrected for the number of tasks (Holm), two intervals."""

    tally: FlipCounts
    mcnemar_p: float
    holm_p: float
    intervals: Mapping[str, Interval | None]


@final
@dataclass(frozen=True)
class GradedResult:
    """Gains and losses of graded scores, with changes up to a dead-band left out or not."""

    flips: GradedFlips
    intervals: Mapping[str, Interval | None]


@final
@dataclass(frozen=True)
class Comparison:
    """All that was found.

    Args:
        old: What to call the old side.
        new: What to call the new side.
        protocol: Under which both were tested.
        tally: Of all tasks.
        tasks: By name.
        intervals: Paired bootstrap of the flip metrics, 95 %.
        classes: Task, class and table, those with the most negative flips first, at most `CLASSES`.
        confidence: The tables of the tenths of the confidence, of the `old` and the `new` side.
        graded: Of all tasks with graded scores, with a dead-band of 0 first; empty without such scores.
        graded_by_task: The same by task, without intervals.
        worst: Negative flips or, where no answer is right or wrong, losses; the worst first, at most `WORST`.
        worse: How many there are.
    """

    old: str
    new: str
    protocol: str
    tally: FlipCounts
    tasks: Mapping[str, TaskResult]
    intervals: Mapping[str, Interval | None]
    classes: Sequence[tuple[str, str, ContingencyTable]]
    confidence: Mapping[str, Mapping[int, ContingencyTable]]
    graded: Sequence[GradedResult]
    graded_by_task: Mapping[str, Sequence[GradedFlips]]
    worst: Sequence[Flip]
    worse: int

    @property
    def table(self) -> ContingencyTable:
        """The counts of all tasks."""
        return self.tally.table

    @property
    def mcnemar_p(self) -> float | None:
        """Whether the accuracy changed; None without right or wrong answers."""
        return mcnemar_exact(self.table.negative_flips, self.table.positive_flips) if self.table.n else None

    @property
    def nfr_upper(self) -> float | None:
        """One-sided 95 % bound of NFR."""
        return upper_bound(self.table.negative_flips, self.table.n)


def compare(old: Rows, new: Rows, *, dead_band: float = 0.0, lower_is_better: bool = False) -> Comparison:
    """Pair two sides by task and sample and count what became of every answer.

    Args:
        old: The side that users have.
        new: The one that they would get.
        dead_band: Changes of graded scores up to here are also counted as none.
        lower_is_better: Whether graded scores are errors.

    Raises:
        DataError: For sides that cannot be compared.
        MetricError: For a dead-band below 0.
    """
    check_dead_band(dead_band)
    with database(old, new) as (connection, folder):
        protocol = pair(connection, folder, old, new, -1 if lower_is_better else 1)
        tallies = count_tasks(connection)
        tally = functools.reduce(operator.add, tallies.values())
        graded, by_task = _graded(connection, [0.0, dead_band] if dead_band else [0.0])
        flips = tally.table.n > 0 or not graded
        return Comparison(
            old.name,
            new.name,
            protocol,
            tally,
            _by_task(tallies),
            bootstrap(tally.table, FLIP_METRICS),
            count_classes(connection, CLASSES),
            {side: count_confidence(connection, side) for side in ("old", "new")},
            graded,
            by_task,
            worst_flips(connection, WORST) if flips else worst_losses(connection, WORST, dead_band),
            tally.table.negative_flips if flips else graded[-1].flips.losses,
        )


def _by_task(tallies: Mapping[str, FlipCounts]) -> dict[str, TaskResult]:
    tested = {task: tally.table for task, tally in tallies.items() if tally.table.n}
    p_values = [mcnemar_exact(table.negative_flips, table.positive_flips) for table in tested.values()]
    corrected = dict(zip(tested, zip(p_values, holm(p_values), strict=True), strict=True))
    shown = {"nfr": nfr, "accuracy_change": accuracy_change}
    return {
        task: TaskResult(tally, *corrected.get(task, (1.0, 1.0)), bootstrap(tally.table, shown))
        for task, tally in tallies.items()
    }


def _graded(
    connection: duckdb.DuckDBPyConnection, bands: Sequence[float]
) -> tuple[list[GradedResult], dict[str, list[GradedFlips]]]:
    tasks = [graded_tasks(connection, band) for band in bands]
    names = list(tasks[0])
    if not names:
        return [], {}
    n = sum(flips.n for flips in tasks[0].values())
    results = []
    for band in bands:
        changes = count_changes(connection, names, n, band)
        results.append(GradedResult(graded_flips(changes, band), graded_intervals(changes, band)))
    return results, {name: [found[name] for found in tasks] for name in names}
