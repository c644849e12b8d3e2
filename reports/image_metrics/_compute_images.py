"""All challenge metrics of one version: task by task, and the mean over the tasks of a kind."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clbench.core.errors import MetricError
from clbench.core.registry import IMAGE_METRICS
from clbench.reports.image_metrics._measured_rows import DoesNotApplyError, MeasuredRows, tasks_of
from clbench.reports.result import ChallengeReport, Values

OWN_UNIT = frozenset({"mae"})
"""Metrics in units that differ from task to task, of which there is no mean."""


def challenge_report(rows: pa.Table, version: int, protocol: str) -> ChallengeReport:
    """Evaluate every image metric on all tasks of its kind.

    Args:
        rows: A ledger.
        version: Number of the version.
        protocol: Name of the protocol.

    Returns:
        The metrics; an empty report for a ledger without measures.
    """
    chosen = rows.filter(pc.and_(pc.equal(rows["version"], version), pc.equal(rows["protocol"], protocol)))
    tasks: dict[str, Values] = {}
    kinds: dict[str, dict[str, list[tuple[str, float | None]]]] = {}
    undefined: dict[str, str] = {}
    for task in tasks_of(chosen):
        tasks[task.task] = _of_task(task, undefined)
        for metric, value in tasks[task.task].items():
            kinds.setdefault(task.kind, {}).setdefault(metric, []).append((task.task, value))
    means: dict[str, Values] = {kind: {} for kind in kinds}
    for kind, metrics in kinds.items():
        for metric, values in metrics.items():
            means[kind][metric] = _attempt(f"{kind}/{metric}", partial(_mean, metric, values), undefined)
    return ChallengeReport(tasks=tasks, kinds=means, undefined=undefined)


def _of_task(rows: MeasuredRows, undefined: dict[str, str]) -> Values:
    found: Values = {}
    for name in IMAGE_METRICS.names():
        kind, _, metric = name.partition(".")
        if kind != rows.kind:
            continue
        try:
            found[metric] = _attempt(f"{rows.task}/{metric}", partial(IMAGE_METRICS.get(name).value, rows), undefined)
        except DoesNotApplyError:
            continue
    return found


def _attempt(name: str, compute: Callable[[], float], undefined: dict[str, str]) -> float | None:
    try:
        value = compute()
        if not math.isfinite(value):
            raise MetricError(f"the formula gave {value}, wanted a finite number")
        return value
    except DoesNotApplyError:
        raise
    except MetricError as error:
        undefined[name] = str(error)
        return None


def _mean(metric: str, values: Sequence[tuple[str, float | None]]) -> float:
    missing = [task for task, value in values if value is None]
    if missing:
        raise MetricError(f"not defined for task {missing[0]!r}")
    if metric in OWN_UNIT and len(values) > 1:
        raise MetricError(f"the values of {len(values)} tasks have units of their own")
    return float(np.mean([value for _, value in values]))
