"""All official metrics of one version: task by task, and the mean over the tasks of a kind."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clbench.core.errors import MetricError
from clbench.core.registry import IMAGE_METRICS
from clbench.reports.image_metrics._task_rows import DoesNotApplyError, TaskRows, tasks_of

Values = dict[str, float | None]
OWN_UNIT = frozenset({"mae"})
"""Metrics in units that differ from task to task, of which there is no mean."""


@final
@dataclass(frozen=True)
class ChallengeReport:
    """Metrics by task and by kind; None where one is not defined.

    Attributes:
        tasks: By task, then metric.
        kinds: By kind, then metric: the unweighted mean over its tasks, each of which must have a value.
        undefined: Why there is none, by `<task>/<metric>` and `<kind>/<metric>`.
    """

    tasks: Mapping[str, Values]
    kinds: Mapping[str, Values]
    undefined: Mapping[str, str]

    def numbers(self) -> dict[str, float]:
        """What is defined, by `challenge/<task or kind>/<metric>`."""
        groups = [*self.tasks.items(), *self.kinds.items()]
        return {
            f"challenge/{name}/{metric}": x for name, group in groups for metric, x in group.items() if x is not None
        }

    def as_json(self) -> dict[str, object]:
        """All of it; null where a metric is not defined."""
        return {"tasks": dict(self.tasks), "kinds": dict(self.kinds), "undefined": dict(self.undefined)}


def challenge_report(rows: pa.Table, version: int, protocol: str) -> ChallengeReport:
    """Evaluate every image metric on all tasks of its kind.

    Args:
        rows: A ledger.
        version: To take from it.
        protocol: To take from it.

    Returns:
        Nothing in it for a ledger without measures.
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
    return ChallengeReport(tasks, means, undefined)


def _of_task(rows: TaskRows, undefined: dict[str, str]) -> Values:
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
