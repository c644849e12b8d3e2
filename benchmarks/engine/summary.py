"""What the command line prints at the end of a suite."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from clbench.benchmarks.engine.execution import matrices
from clbench.benchmarks.engine.runner import Outcome
from clbench.contracts import Stream
from clbench.reports.flips.stream_flips import stream_numbers
from clbench.reports.matrix import ScoreMatrix
from clbench.reports.metrics._compute import compute_all
from clbench.spec.ledger import read_ledger

HEADLINE = {
    "mtil.last": "Last",
    "mtil.average": "Average",
    "mtil.transfer": "Transfer",
    "forgetting.chaudhry": "forgetting",
    "bwt.gem": "BWT",
}
RELEASES = {
    "mtil.last": "Last",
    "flips/all/nfr": "NFR",
    "flips/all/pfr": "PFR",
    "flips/all/relative_nfr": "rel. NFR",
}
"""The same for streams of releases: the last version, and its flips against the one before."""
KINDS = {
    "segmentation": "seg Dice",
    "classification": "cls acc",
    "detection": "det IoU",
    "regression": "reg score",
    "generation": "text score",
}
"""Last by kind of task, for streams of several: scores of different kinds are not the same thing on the same scale."""
OTHERS = {"mtil.last": "Last", "forgetting.chaudhry": "forg."}
"""What is shown of a stream's other protocols."""


def columns_of(rows: Iterable[Mapping[str, object]]) -> dict[str, str]:
    """Keys of rows and the headings of their columns: the first protocol's, kinds, then other protocols'."""
    rows = list(rows)
    headline, parts = HEADLINE, OTHERS
    kinds = {f"kind/{kind}": title for kind, title in KINDS.items() if any(f"kind/{kind}" in row for row in rows)}
    if any("flips/all/nfr" in row for row in rows):
        headline = parts = RELEASES
    found = dict.fromkeys(key for row in rows for key in row if key.endswith(".mtil.last"))
    others = [key.removesuffix(".mtil.last") for key in found]
    more = {f"{name}.{key}": f"{name} {heading}" for name in others for key, heading in parts.items()}
    return headline | kinds | more


def summarise(outcomes: Sequence[Outcome]) -> list[dict[str, object]]:
    """One row a cell: status, and for finished ones every metric (fractions) under every protocol.

    A metric that is not defined is None, and the row says why under `undefined`.
    """
    rows = []
    for outcome in outcomes:
        cell = outcome.cell
        row: dict[str, object] = {
            "stream": cell.names[0],
            "learner": cell.names[1],
            "strategy": cell.label,
            "seed": cell.seed,
            "status": outcome.status,
            "folder": str(outcome.folder.path),
        }
        if outcome.status == "failed":
            row["error"] = outcome.error
        else:
            row |= _numbers(outcome)
            if probes := _probes(outcome):
                row["probes"] = probes
        rows.append(row)
    return rows


def _probes(outcome: Outcome) -> dict[str, dict[int, float]]:
    """What others' programs measured, by name and version."""
    result: dict[str, dict[int, float]] = {}
    for version, answers in outcome.folder.probes().items():
        for numbers in answers.values():
            for name, value in numbers.items():
                result.setdefault(name, {})[version] = value
    return result


def _numbers(outcome: Outcome) -> dict[str, object]:
    stream = outcome.cell.load_stream()
    found = matrices(stream, outcome.folder)
    result: dict[str, object] = {**_last_by_kind(stream, found[stream.protocols[0]])}
    undefined: dict[str, str] = {}
    for index, (protocol, matrix) in enumerate(found.items()):
        prefix = f"{protocol}." if index else ""
        report = compute_all(matrix)
        result |= {prefix + name: value for name, value in report.values.items()}
        undefined |= {prefix + name: reason for name, reason in report.undefined.items()}
        if stream.releases:
            rows = read_ledger(outcome.folder.path / "ledger.parquet")
            flips = stream_numbers(rows, protocol, releases=True)[stream.last_version]
            result |= {prefix + name: value for name, value in flips.items()}
    return result | ({"undefined": undefined} if undefined else {})


def _last_by_kind(stream: Stream, matrix: ScoreMatrix) -> dict[str, float]:
    """The mean score of the last version on the tasks of each kind, where there are several kinds."""
    scores: dict[str, list[float]] = {}
    for task, score in zip(stream.tasks, matrix.scores[-1].tolist(), strict=True):
        scores.setdefault(task.kind, []).append(score)
    means = {f"kind/{kind}": fmean(found) for kind, found in scores.items()}
    return {name: mean for name, mean in means.items() if mean == mean} if len(means) > 1 else {}
