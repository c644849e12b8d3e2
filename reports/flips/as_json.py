"""A comparison for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from clbench.reports.flips.comparison import Comparison, TaskResult
from clbench.reports.flips.contingency import ContingencyTable
from clbench.reports.flips.flip_metrics import all_metrics
from clbench.reports.flips.gate import Gate
from clbench.reports.flips.graded import GradedFlips
from clbench.reports.flips.statistics import LEVEL, RESAMPLES, Interval

SCHEMA = 1


def to_dict(comparison: Comparison, gate: Gate | None = None) -> dict[str, object]:
    """Everything that was found, ready for JSON; null where a number is not defined, with the reason if it is known."""
    return {
        "schema": SCHEMA,
        "old": comparison.old,
        "new": comparison.new,
        "protocol": comparison.protocol,
        **_of_table(comparison.table),
        "nfr_confidence_weighted": weighted(comparison.tally.nfr_weight, comparison.table),
        "pfr_confidence_weighted": weighted(comparison.tally.pfr_weight, comparison.table),
        "mcnemar_p": comparison.mcnemar_p,
        "nfr_upper": comparison.nfr_upper,
        "intervals": _intervals(comparison.intervals),
        "method": {"intervals": f"paired percentile bootstrap, {RESAMPLES} resamples", "level": LEVEL},
        "unmatched": {
            "old": comparison.tally.old_only,
            "new": comparison.tally.new_only,
            "unscored": comparison.tally.unscored,
        },
        "tasks": {task: _task(result) for task, result in comparison.tasks.items()},
        "classes": [{"task": task, "class": name, **_of_table(table)} for task, name, table in comparison.classes],
        "confidence": {
            side: [{"from": tenth / 10, "to": (tenth + 1) / 10, **_of_table(table)} for tenth, table in tables.items()]
            for side, tables in comparison.confidence.items()
        },
        "graded": _graded(comparison),
        "worst": [asdict(flip) for flip in comparison.worst],
        "worse": comparison.worse,
        "gate": None if gate is None else asdict(gate),
    }


def weighted(weight: float | None, table: ContingencyTable) -> float | None:
    """A sum of confidences over flips as a share of all pairs."""
    return None if weight is None or table.n == 0 else weight / table.n


def _of_table(table: ContingencyTable) -> dict[str, object]:
    values = all_metrics(table)
    undefined = {name: "it would be divided by 0" for name, value in values.items() if value is None}
    return {"n": table.n, "counts": asdict(table), **values, **({"undefined": undefined} if undefined else {})}


def _task(result: TaskResult) -> dict[str, object]:
    tally = result.tally
    return {
        **_of_table(tally.table),
        "mcnemar_p": result.mcnemar_p,
        "holm_p": result.holm_p,
        "intervals": _intervals(result.intervals),
        "unmatched": {"old": tally.old_only, "new": tally.new_only, "unscored": tally.unscored},
    }


def _graded(comparison: Comparison) -> dict[str, object] | None:
    if not comparison.graded:
        return None
    every = [{**_flips(result.flips), "intervals": _intervals(result.intervals)} for result in comparison.graded]
    tasks: Mapping[str, Sequence[GradedFlips]] = comparison.graded_by_task
    return {"all": every, "tasks": {task: [_flips(flips) for flips in found] for task, found in tasks.items()}}


def _flips(flips: GradedFlips) -> dict[str, object]:
    return asdict(flips)


def _intervals(intervals: Mapping[str, Interval | None]) -> dict[str, list[float] | None]:
    return {name: None if found is None else [found.low, found.high] for name, found in intervals.items()}
