"""One run as the leaderboard sees it: what was run, how it ended, and its accuracy matrices."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from clbench.core.errors import DataError
from clbench.reports.matrix import ScoreMatrix

SCHEMA = "1"
"""The layout of tags and of `matrix.json` that this code reads."""

COST = {
    "cost/train_seconds": "Training, s",
    "cost/test_seconds": "Testing, s",
    "cost/decode_seconds": "Decoding, s",
    "cost/taken_over_seconds": "Taken over, s",
    "cost/peak_mb": "Peak of the device, MiB",
    "cost/process_peak_mb": "Peak of the process, MiB",
}
"""Metrics of a run that say what it took, over all versions, and their headings."""
COST_NOTE = (
    "Each run is counted as if it were alone; what had been computed before, for another run or an earlier version, is "
    "counted and told as taken over. Where decoding has no number, it is a part of training and testing."
)
CHALLENGE = {
    "challenge/segmentation/dice": "Segmentation: Dice \u2191",
    "challenge/segmentation/hausdorff": "Hausdorff, pixels \u2193",
    "challenge/segmentation/hd95": "HD95, pixels \u2193",
    "challenge/classification/accuracy": "Classification: accuracy \u2191",
    "challenge/classification/auc": "AUC \u2191",
    "challenge/classification/f1_macro": "F1, macro \u2191",
    "challenge/classification/f1_weighted": "F1, weighted \u2191",
    "challenge/classification/mcc": "MCC \u2191",
    "challenge/detection/iou": "Detection: IoU \u2191",
    "challenge/detection/map": "mAP \u2191",
    "challenge/detection/map50": "mAP at IoU 0.5 \u2191",
    "challenge/regression/mre": "Regression: MRE, pixels \u2193",
    "challenge/regression/mae": "MAE, unit of the value \u2193",
}
"""Metrics of a run that say what its last version reaches on tasks of images of a kind, and their headings."""


@final
@dataclass(frozen=True)
class Cell:
    """A (stream, learner, strategy, seed) of a suite, from the one of its runs that counts.

    Args:
        matrices: By protocol, the primary one first; empty unless the run finished.
        error: Why there are no matrices, one line; None for a finished run.
        budget: What a strategy might spend on a task, in words; runs of different budgets are never averaged.
        cost: What the run says of its cost, by the names in `COST`.
        challenge: What it says of tasks of images, by the names in `CHALLENGE`.
        environment: What else the run says of itself (versions, hardware).
    """

    run_id: str
    key: str
    stream: str
    learner: str
    strategy: str
    label: str
    seed: str
    split: str
    status: str
    started: int
    matrices: Mapping[str, ScoreMatrix] = field(default_factory=dict)
    error: str | None = None
    budget: str = ""
    cost: Mapping[str, float] = field(default_factory=dict)
    challenge: Mapping[str, float] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether the run has a result."""
        return bool(self.matrices)


def read_matrices(text: Mapping[str, object]) -> dict[str, ScoreMatrix]:
    """The accuracy matrices of `matrix.json`, by protocol in the order of the file.

    Raises:
        DataError: For another schema or a layout that does not fit.
    """
    schema, tasks, protocols = text.get("schema"), text.get("tasks"), text.get("protocols")
    releases = text.get("releases", [])
    if str(schema) != SCHEMA:
        raise DataError(f"matrix.json: wanted schema {SCHEMA}, got {schema!r}")
    if not isinstance(tasks, list) or not all(isinstance(task, str) for task in tasks):
        raise DataError(f"matrix.json: tasks must be a list of names, got {tasks!r:.60}")
    if not isinstance(releases, list) or not all(isinstance(release, str) for release in releases):
        raise DataError(f"matrix.json: releases must be a list of names, got {releases!r:.60}")
    if not isinstance(protocols, dict) or not protocols:
        raise DataError(f"matrix.json: protocols must be an object with at least one matrix, got {protocols!r:.60}")
    return {str(name): _matrix(str(name), tasks, tuple(releases), rows) for name, rows in protocols.items()}


def _matrix(protocol: str, tasks: list[str], releases: tuple[str, ...], rows: object) -> ScoreMatrix:
    wanted = (len(releases) or len(tasks)) + 1
    if not isinstance(rows, list) or len(rows) != wanted or not all(isinstance(row, list) for row in rows):
        raise DataError(f"matrix.json, protocol {protocol!r}: wanted {wanted} rows, got {rows!r:.60}")
    scores = {t: [_score(protocol, cell) for cell in row] for t, row in enumerate(rows)}
    return ScoreMatrix.from_rows(tasks, scores, releases)


def _score(protocol: str, cell: object) -> float:
    if cell is None:
        return float("nan")
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        raise DataError(f"matrix.json, protocol {protocol!r}: wanted numbers and nulls, got {cell!r:.60}")
    return float(cell)
