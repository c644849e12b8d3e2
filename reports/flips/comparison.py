"""Comparison of an old and a new model: all counts, metrics, tests and intervals, and the worst flips."""

import functools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

import duckdb

from clbench.reports.flips.contingency import ContingencyTable
from clbench.reports.flips.flip_counts import (
    Flip,
    FlipCounts,
    count_changes,
    count_classes,
    count_confidence,
    count_graded_tasks,
    count_tasks,
    worst_flips,
    worst_losses,
)
from clbench.reports.flips.flip_metrics import FLIP_METRICS, accuracy_change, nfr
from clbench.reports.flips.graded import GradedFlips, check_dead_band, graded_flips, graded_intervals
from clbench.reports.flips.graded_verdict import graded_verdicts
from clbench.reports.flips.pairing import database, pair
from clbench.reports.flips.predictions import Predictions
from clbench.reports.flips.statistics import bootstrap, mcnemar_exact, upper_bound
from clbench.reports.flips.verdict import Verdict, check_margin, verdict, verdicts
from clbench.reports.statistics.intervals import Interval

WORST = 500
"""Largest number of flips that a comparison keeps."""
CLASSES = 200
"""Largest number of classes that a comparison keeps."""


@final
@dataclass(frozen=True)
class TaskResult:
    """The flips of one task.

    Args:
        counts: Counts over its samples.
        mcnemar_p: p-value of McNemar's test that its accuracy did not change, in (0, 1].
        holm_p: That p-value after Holm's correction for the number of tasks, in (0, 1].
        intervals: 95 % intervals of `nfr` and `accuracy_change`; None where undefined.
        verdict: The verdict on its accuracy, with `holm_p`; None without right or wrong answers.
    """

    counts: FlipCounts
    mcnemar_p: float
    holm_p: float
    intervals: Mapping[str, Interval | None]
    verdict: Verdict | None


@final
@dataclass(frozen=True)
class GradedResult:
    """Gains and losses of graded scores for one dead-band.

    Args:
        flips: Counts, rates and means.
        intervals: 95 % intervals of the rates and means, by name; None where undefined.
    """

    flips: GradedFlips
    intervals: Mapping[str, Interval | None]


@final
@dataclass(frozen=True)
class Comparison:
    """Flips from an old to a new model.

    Args:
        old: Name of the old model's predictions.
        new: Name of the new model's predictions.
        protocol: Protocol under which both were tested.
        counts: Counts over all tasks.
        tasks: Flips of each task, by its name.
        intervals: 95 % intervals of the flip metrics (paired bootstrap), by name; None where undefined.
        classes: Task, class and table of the classes with the most negative flips, at most `CLASSES`.
        confidence: For the `old` and the `new` model: tables by confidence, in ten bins numbered from 0.
        graded: Gains and losses over all tasks with graded scores, dead-band 0 first; empty without such scores.
        graded_by_task: Gains and losses of each task, for the same dead-bands.
        worst: Negative flips, or losses if no answer is right or wrong; the worst first, at most `WORST`.
        n_worse: Number of negative flips, or of losses, including those that `worst` leaves out.
        forgotten: Number of samples of a task or class that a model was asked to forget; they count nowhere else.
        verdict: The verdict on the accuracy over all tasks; None without right or wrong answers.
        graded_verdicts: The verdicts on the mean change of each task with graded scores.
    """

    old: str
    new: str
    protocol: str
    counts: FlipCounts
    tasks: Mapping[str, TaskResult]
    intervals: Mapping[str, Interval | None]
    classes: Sequence[tuple[str, str, ContingencyTable]]
    confidence: Mapping[str, Mapping[int, ContingencyTable]]
    graded: Sequence[GradedResult]
    graded_by_task: Mapping[str, Sequence[GradedFlips]]
    worst: Sequence[Flip]
    n_worse: int
    forgotten: int = 0
    verdict: Verdict | None = None
    graded_verdicts: Mapping[str, Verdict] = field(default_factory=dict)

    @property
    def table(self) -> ContingencyTable:
        """The table of all tasks."""
        return self.counts.table

    @property
    def mcnemar_p(self) -> float | None:
        """p-value of McNemar's test that the accuracy did not change; None without right or wrong answers."""
        return mcnemar_exact(self.table.negative_flips, self.table.positive_flips) if self.table.n else None

    @property
    def nfr_upper(self) -> float | None:
        """One-sided upper 95 % bound of NFR; None without right or wrong answers."""
        return upper_bound(self.table.negative_flips, self.table.n)


def compare(
    old: Predictions,
    new: Predictions,
    *,
    dead_band: float = 0.0,
    lower_is_better: bool = False,
    margin: float | None = None,
) -> Comparison:
    """Pair the predictions of two models by task and sample, and count the flips.

    Args:
        old: Predictions of the old model, which users have.
        new: Predictions of the new model, which would replace it.
        dead_band: Graded scores are also counted with changes up to this size as no change; at least 0.
        lower_is_better: Whether graded scores are errors.
        margin: Largest size of a change of accuracy that does not matter; None for no verdict of equivalence.

    Raises:
        ConfigError: For a margin that is not between 0 and 1.
        DataError: For predictions that cannot be compared.
        MetricError: For a dead-band below 0.
    """
    check_dead_band(dead_band)
    check_margin(margin)
    with database(old, new) as (connection, folder):
        paired = pair(connection, folder, old, new, -1 if lower_is_better else 1)
        counts_by_task = count_tasks(connection)
        counts = functools.reduce(operator.add, counts_by_task.values())
        graded, by_task = _graded(connection, [0.0, dead_band] if dead_band else [0.0])
        flips = counts.table.n > 0 or not graded
        return Comparison(
            old.name,
            new.name,
            paired.protocol,
            counts,
            _by_task(counts_by_task, margin),
            bootstrap(counts.table, FLIP_METRICS),
            count_classes(connection, CLASSES),
            {model: count_confidence(connection, model) for model in ("old", "new")},
            graded,
            by_task,
            worst_flips(connection, WORST) if flips else worst_losses(connection, WORST, dead_band),
            counts.table.negative_flips if flips else graded[-1].flips.losses,
            paired.forgotten,
            verdict(counts.table, margin) if counts.table.n else None,
            _graded_verdicts(connection, by_task),
        )


def _by_task(counts_by_task: Mapping[str, FlipCounts], margin: float | None) -> dict[str, TaskResult]:
    tables = {task: counts.table for task, counts in counts_by_task.items()}
    found = verdicts(tables, margin)
    shown = {"nfr": nfr, "accuracy_change": accuracy_change}
    return {
        task: TaskResult(
            counts_by_task[task],
            mcnemar_exact(table.negative_flips, table.positive_flips),
            found[task].p if task in found else 1.0,
            bootstrap(table, shown),
            found.get(task),
        )
        for task, table in tables.items()
    }


def _graded(
    connection: duckdb.DuckDBPyConnection, bands: Sequence[float]
) -> tuple[list[GradedResult], dict[str, list[GradedFlips]]]:
    tasks = [count_graded_tasks(connection, band) for band in bands]
    names = list(tasks[0])
    if not names:
        return [], {}
    n = sum(flips.n for flips in tasks[0].values())
    results = []
    for band in bands:
        changes = count_changes(connection, names, n, band)
        results.append(GradedResult(graded_flips(changes, band), graded_intervals(changes, band)))
    return results, {name: [found[name] for found in tasks] for name in names}


def _graded_verdicts(
    connection: duckdb.DuckDBPyConnection, by_task: Mapping[str, Sequence[GradedFlips]]
) -> dict[str, Verdict]:
    return graded_verdicts(
        {task: count_changes(connection, [task], found[0].n, 0.0) for task, found in by_task.items()}
    )
