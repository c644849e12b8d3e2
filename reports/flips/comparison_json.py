"""A comparison as a dictionary for JSON; its keys are a public format."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from clbench.reports.flips.comparison import Comparison, TaskResult
from clbench.reports.flips.contingency import ContingencyTable
from clbench.reports.flips.flip_metrics import all_metrics
from clbench.reports.flips.gate import Gate
from clbench.reports.flips.graded import GradedFlips
from clbench.reports.flips.power import POWER
from clbench.reports.flips.verdict import Verdict
from clbench.reports.statistics.intervals import LEVEL, RESAMPLES, Interval

if TYPE_CHECKING:
    from clbench.reports.flips.policy import PolicyResult  # it imports pydantic, which only a policy needs

SCHEMA = 1
"""Version of the format; it rises when a key changes its meaning or goes away."""


def to_dict(
    comparison: Comparison, gate: Gate | None = None, policy: "PolicyResult | None" = None
) -> dict[str, object]:
    """All results of a comparison; null where a number is undefined, with the reason under `undefined` if known.

    Args:
        comparison: The comparison.
        gate: Result of a gate; None without one.
        policy: Result of a policy; None without one.
    """
    return {
        "schema": SCHEMA,
        "old": comparison.old,
        "new": comparison.new,
        "protocol": comparison.protocol,
        **_numbers_of(comparison.table),
        "nfr_confidence_weighted": confidence_weighted(comparison.counts.nfr_confidence_sum, comparison.table),
        "pfr_confidence_weighted": confidence_weighted(comparison.counts.pfr_confidence_sum, comparison.table),
        "mcnemar_p": comparison.mcnemar_p,
        "nfr_upper": comparison.nfr_upper,
        "verdict": _verdict(comparison.verdict),
        "intervals": _intervals(comparison.intervals),
        "method": {
            "unit": "sample",
            "intervals": f"paired percentile bootstrap, {RESAMPLES} resamples",
            "level": LEVEL,
            "power": POWER,
        },
        "unmatched": {
            "old": comparison.counts.old_only,
            "new": comparison.counts.new_only,
            "unscored": comparison.counts.unscored,
        },
        "forgotten": comparison.forgotten,
        "tasks": {task: _task(result) for task, result in comparison.tasks.items()},
        "classes": [{"task": task, "class": name, **_numbers_of(table)} for task, name, table in comparison.classes],
        "confidence": {
            model: [
                {"from": tenth / 10, "to": (tenth + 1) / 10, **_numbers_of(table)} for tenth, table in tables.items()
            ]
            for model, tables in comparison.confidence.items()
        },
        "graded": _graded(comparison),
        "worst": [asdict(flip) for flip in comparison.worst],
        "worse": comparison.n_worse,
        "gate": None if gate is None else asdict(gate),
        "policy": None if policy is None else {"passed": policy.passed, **asdict(policy)},
    }


def several_to_dict(
    judged: Sequence["tuple[Comparison, Gate | None, PolicyResult | None]"], verdicts: Sequence[Verdict | None]
) -> dict[str, object]:
    """All results of several new models against one old model.

    Args:
        judged: For each new model the comparison, and the results of gate and policy.
        verdicts: Their verdicts, corrected for the number of models.
    """
    models = [
        {**to_dict(*each), "verdict_among_models": _verdict(found)}
        for each, found in zip(judged, verdicts, strict=True)
    ]
    return {"schema": SCHEMA, "old": judged[0][0].old, "models": models}


def confidence_weighted(confidence_sum: float | None, table: ContingencyTable) -> float | None:
    """Flip rate that counts each flip with the confidence of its wrong answer.

    Formula: sum of the confidences over flips / n
    Unit: share of all pairs, in [0, 1]
    Direction: that of the flips: lower is better for negative flips

    Args:
        confidence_sum: The sum; None if a flip has no confidence.
        table: Counts, for n.
    """
    return None if confidence_sum is None or table.n == 0 else confidence_sum / table.n


def _numbers_of(table: ContingencyTable) -> dict[str, object]:
    values = all_metrics(table)
    undefined = {name: "the denominator is 0" for name, value in values.items() if value is None}
    return {"n": table.n, "counts": asdict(table), **values, **({"undefined": undefined} if undefined else {})}


def _task(result: TaskResult) -> dict[str, object]:
    counts = result.counts
    return {
        **_numbers_of(counts.table),
        "mcnemar_p": result.mcnemar_p,
        "holm_p": result.holm_p,
        "verdict": _verdict(result.verdict),
        "intervals": _intervals(result.intervals),
        "unmatched": {"old": counts.old_only, "new": counts.new_only, "unscored": counts.unscored},
    }


def _verdict(found: Verdict | None) -> dict[str, object] | None:
    return None if found is None else {**asdict(found), "interval": [found.interval.low, found.interval.high]}


def _graded(comparison: Comparison) -> dict[str, object] | None:
    if not comparison.graded:
        return None
    every = [{**asdict(result.flips), "intervals": _intervals(result.intervals)} for result in comparison.graded]
    tasks: Mapping[str, Sequence[GradedFlips]] = comparison.graded_by_task
    return {
        "all": every,
        "tasks": {task: [asdict(flips) for flips in found] for task, found in tasks.items()},
        "verdicts": {task: _verdict(found) for task, found in comparison.graded_verdicts.items()},
    }


def _intervals(intervals: Mapping[str, Interval | None]) -> dict[str, list[float] | None]:
    return {name: None if found is None else [found.low, found.high] for name, found in intervals.items()}
