"""From the ledger and the records of a cell's versions to its result: the one place where a cell's numbers are made."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from types import MappingProxyType
from typing import final

import pyarrow as pa

from clbench.reports.flips.chain import Chain
from clbench.reports.flips.stream_flips import chain_numbers
from clbench.reports.image_metrics._compute_images import challenge_report
from clbench.reports.matrix import ScoreMatrix
from clbench.reports.metrics._compute import MetricReport, compute_all
from clbench.reports.paths import learn_chain
from clbench.reports.result import CellResult, ChallengeReport, ProtocolResult, VersionResult
from clbench.reports.result_code import code_digest
from clbench.reports.retained_scores import RetainedScores, retained_rows, retained_scores
from clbench.reports.update_costs import update_costs
from clbench.spec.update import Update

SECONDS = {"train": "train", "test": "eval", "decode": "decode", "taken_over": "taken_over"}
"""Costs in seconds, and the numbers of a version's record that they add up."""
PASSES = ("with_gradient", "without_gradient")
"""Numbers of a version's record under `passes/` whose sum is a cost: samples in forward passes."""
PEAKS = ("peak_mb", "process_peak_mb", "samples", "trained_share")
"""Numbers of a version's record under `memory/` whose highest value is a cost: MiB, samples that are kept, % of values
that can move."""


@final
@dataclass(frozen=True)
class StreamOutline:
    """What a result has to know of a stream.

    Attributes:
        tasks: Kind of each task, in the order of the stream.
        protocols: The headline protocol first.
        updates: What makes versions 1, 2, ...; empty if the tasks are learnt one after another.
    """

    tasks: Mapping[str, str]
    protocols: Sequence[str]
    updates: Sequence[Update] = ()


def score_matrices(outline: StreamOutline, rows: pa.Table) -> dict[str, ScoreMatrix]:
    """R under every protocol, from the ledger rows of the versions that are there; NaN for the others.

    Rows of what a version was asked to forget are left out of its row of R: `ScoreMatrix.forgotten_tasks` are NaN.
    """
    return {protocol: scores.matrix for protocol, scores in _retained_scores(outline, rows).items()}


def compute_versions(
    outline: StreamOutline, rows: pa.Table, versions: Iterable[int]
) -> dict[str, dict[int, VersionResult]]:
    """Results of some versions by protocol, without flips: all that is known before the last version is there.

    Args:
        outline: Of the stream.
        rows: Ledger rows of these versions and of all earlier ones.
        versions: Numbers of the versions.
    """
    wanted = list(versions)
    return {
        protocol: {
            v: _version(scores, v).model_copy(update={"challenge": _challenge(scores, rows, v, protocol)})
            for v in wanted
        }
        for protocol, scores in _retained_scores(outline, rows).items()
    }


def compute_result(outline: StreamOutline, rows: pa.Table, numbers: Sequence[Mapping[str, float]]) -> CellResult:
    """The result of a finished cell.

    Args:
        outline: Of the stream.
        rows: The whole ledger.
        numbers: What the record of each version says of seconds, passes, memory and the size of the model, by name.

    Raises:
        DataError: When the ledger lacks a protocol, or has a version twice on a sample or that no update made.
    """
    protocols: dict[str, ProtocolResult] = {}
    for protocol, scores in _retained_scores(outline, rows).items():
        chain = Chain.from_ledger(rows, protocol)
        flips = chain_numbers(chain, scores.matrix.updates)
        versions = tuple(
            _version(scores, v).model_copy(
                update={
                    "challenge": _challenge(scores, rows, v, protocol),
                    "flips": flips.get(v, {}),
                    "update": _update_costs(scores, chain, v, recorded),
                }
            )
            for v, recorded in enumerate(numbers)
        )
        forgotten = scores.matrix.forgotten_tasks(scores.matrix.last)
        kinds = _means_by_kind(
            {task: kind for task, kind in outline.tasks.items() if task not in forgotten},
            [x for task, x in zip(outline.tasks, versions[-1].scores, strict=True) if task not in forgotten],
        )
        protocols[protocol] = ProtocolResult(versions=versions, kinds=kinds)
    return CellResult(
        code=code_digest(),
        tasks=dict(outline.tasks),
        updates=tuple(outline.updates) or learn_chain(tuple(outline.tasks)),
        protocols=protocols,
        costs=_costs(numbers),
        audits=_audits(numbers),
    )


def result_of_matrices(
    matrices: Mapping[str, ScoreMatrix],
    challenge: ChallengeReport | None = None,
    costs: Mapping[str, float] = MappingProxyType({}),
) -> CellResult:
    """A result from R alone, for runs of earlier releases, whose ledger is not at hand: without flips and kinds.

    Args:
        matrices: R by protocol, of the same tasks.
        challenge: Challenge metrics of the last version under the first protocol.
        costs: By `cost/<name>`.
    """
    protocols: dict[str, ProtocolResult] = {}
    for index, (protocol, matrix) in enumerate(matrices.items()):
        *earlier, last = (_version(RetainedScores(matrix, (), {}), v) for v in range(matrix.last + 1))
        if challenge and index == 0:
            last = last.model_copy(update={"challenge": challenge})
        protocols[protocol] = ProtocolResult(versions=(*earlier, last))
    first = next(iter(matrices.values()))
    return CellResult(
        code=code_digest(),
        tasks=dict.fromkeys(first.tasks, ""),
        updates=first.updates,
        protocols=protocols,
        costs=dict(costs),
    )


def with_current_metrics(result: CellResult) -> CellResult:
    """The result with the metrics of R as this code computes them; flips and challenge metrics need the ledger."""
    if result.code == code_digest():
        return result
    protocols: dict[str, ProtocolResult] = {}
    for protocol, found in result.protocols.items():
        reports = [_metrics(result.matrix_for(protocol, version), version) for version in range(len(found.versions))]
        versions = tuple(
            version.model_copy(update={"metrics": report.values, "undefined": report.undefined})
            for version, report in zip(found.versions, reports, strict=True)
        )
        protocols[protocol] = ProtocolResult(versions=versions, kinds=found.kinds)
    return result.model_copy(update={"protocols": protocols})


def _retained_scores(outline: StreamOutline, rows: pa.Table) -> dict[str, RetainedScores]:
    tasks = tuple(outline.tasks)
    return {protocol: retained_scores(tasks, outline.updates, rows, protocol) for protocol in outline.protocols}


def _version(scores: RetainedScores, version: int) -> VersionResult:
    """What R says of a version: scores and metrics."""
    matrix = scores.of(version)
    path = [_row(matrix, number) for number in matrix.path(version)] if version in scores.over else []
    report = _metrics(matrix, version)
    return VersionResult(
        scores=_row(matrix, version), path_scores=tuple(path), metrics=report.values, undefined=report.undefined
    )


def _row(matrix: ScoreMatrix, version: int) -> tuple[float | None, ...]:
    return tuple(None if math.isnan(score) else score for score in matrix.scores[version].tolist())


def _metrics(matrix: ScoreMatrix, version: int) -> MetricReport:
    """All registered metrics of the path to a version."""
    return compute_all(matrix, version) if version else MetricReport({}, {})


def _challenge(scores: RetainedScores, rows: pa.Table, version: int, protocol: str) -> ChallengeReport:
    return challenge_report(retained_rows(rows, scores.forgotten[version]), version, protocol)


def _update_costs(
    scores: RetainedScores, chain: Chain, version: int, recorded: Mapping[str, float]
) -> dict[str, float]:
    """What an update cost; nothing for version 0, and in streams that only learn their tasks or only adopt releases."""
    if version == 0 or scores.matrix.rows_are != "update":
        return {}
    return update_costs(scores.of(version), version, chain.retained(scores.forgotten[version]), recorded)


def _means_by_kind(tasks: Mapping[str, str], scores: Sequence[float | None]) -> dict[str, float]:
    """The mean score on the tasks of each kind of which all were measured; empty for tasks of a single kind."""
    found: dict[str, list[float]] = {}
    for kind, score in zip(tasks.values(), scores, strict=True):
        found.setdefault(kind, []).append(math.nan if score is None else score)
    means = {kind: fmean(several) for kind, several in found.items()}
    return {kind: mean for kind, mean in means.items() if not math.isnan(mean)} if len(means) > 1 else {}


def _costs(numbers: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """What the cell took, over all versions: sums of seconds and passes, the highest peaks of memory and samples kept.

    In folders of earlier code decoding is a part of training and testing and has no number of its own, and passes are
    not counted.
    """
    costs = {
        f"cost/{name}_seconds": sum(found[f"seconds/{key}"] for found in numbers)
        for name, key in SECONDS.items()
        if all(f"seconds/{key}" in found for found in numbers)
    }
    for name in PASSES:
        if all(f"passes/{name}" in found for found in numbers):
            costs[f"cost/passes_{name}"] = sum(found[f"passes/{name}"] for found in numbers)
    for name in PEAKS:
        peaks = [found[f"memory/{name}"] for found in numbers if f"memory/{name}" in found]
        if peaks:
            costs[f"cost/{name}"] = max(peaks)
    return costs


def _audits(numbers: Sequence[Mapping[str, float]]) -> dict[str, dict[int, dict[str, float]]]:
    """What is left of forgotten samples: `audit/<label>/<name>` of each version, by label and version."""
    found: dict[str, dict[int, dict[str, float]]] = {}
    for version, of_version in enumerate(numbers):
        for key, value in of_version.items():
            if key.startswith("audit/"):
                label, _, name = key.removeprefix("audit/").rpartition("/")
                found.setdefault(label, {}).setdefault(version, {})[name] = value
    return found
