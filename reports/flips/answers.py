"""Answers read from a file of another tool, as predictions in memory."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import pyarrow as pa

from clbench.core.errors import DataError
from clbench.reports.flips.predictions import COLUMNS, JSON_TYPES, TEXT, Predictions
from clbench.reports.leaderboard.text import encodable

LONGEST_TEXT = 4000
"""Characters of a prompt that are kept."""
ARROW_TYPES = {
    "INTEGER": pa.int32(),
    "VARCHAR": pa.string(),
    "BOOLEAN": pa.bool_(),
    "DOUBLE": pa.float64(),
    "FLOAT": pa.float32(),
}
SCHEMA = pa.schema([(name, ARROW_TYPES[kind]) for name, kind in JSON_TYPES.items()])


@final
@dataclass(frozen=True)
class Answer:
    """One answer of a model.

    Args:
        task: Name of the task.
        sample_id: The sample, the unit of analysis; repeated answers to one sample have the same id.
        target: The right answer.
        prediction: The model's answer; None if not known.
        score: Its score, higher is better; None if it was not scored.
        text: What the model was given; None if not known.
    """

    task: str
    sample_id: str
    target: str
    prediction: str | None
    score: float | None
    text: str | None = None


def to_predictions(
    name: str, answers: Iterable[Answer], protocol: str, metric: str | None = None, *, graded: bool = False
) -> Predictions:
    """Predictions with one row for each sample.

    Repeated answers to one sample (epochs) are not independent, so the sample counts once, with its mean score; a
    bootstrap over samples then is one over these clusters. If each sample has one answer and all scores are 0 or 1, the
    answers are wrong or right; else the scores are graded.

    Args:
        name: Name of the model in messages and tables.
        answers: The answers.
        protocol: How they were scored.
        metric: Name of the metric; None if the file does not name it.
        graded: Whether the scores are graded even if all are 0 or 1.

    Raises:
        DataError: Without answers, for a score that is infinite, or if repeated answers have different targets.
    """
    samples: dict[tuple[str, str], list[Answer]] = {}
    for answer in answers:
        samples.setdefault((answer.task, answer.sample_id), []).append(answer)
    if not samples:
        raise DataError(f"{name}: no answers")
    binary = not graded and all(len(group) == 1 and group[0].score in (None, 0, 1) for group in samples.values())
    rows = [_row(name, group, protocol, binary) for group in samples.values()]
    table = pa.Table.from_pylist(rows, SCHEMA)
    return Predictions(name, table, 0, encodable(protocol), graded=not binary, metric=metric)


def _row(name: str, group: list[Answer], protocol: str, binary: bool) -> dict[str, object]:
    first = group[0]
    other = next((answer.target for answer in group if answer.target != first.target), None)
    if other is not None:
        where = f"{name}: sample {first.sample_id!r} of task {first.task!r}"
        raise DataError(f"{where} has the targets {first.target!r} and {other!r}")
    scores = [answer.score for answer in group if answer.score is not None]
    if not all(map(math.isfinite, scores)):
        raise DataError(f"{name}: sample {first.sample_id!r} of task {first.task!r} has a score that is not finite")
    score = math.fsum(scores) / len(scores) if scores else None
    prediction = first.prediction if len(group) == 1 else json.dumps([answer.prediction for answer in group])
    found = {
        **dict.fromkeys(COLUMNS),
        "version": 0,
        "protocol": protocol,
        "task": first.task,
        "sample_id": first.sample_id,
        "prediction": prediction,
        "target": first.target,
        "score": score,
        "correct": bool(score) if binary and score is not None else None,
        TEXT: None if first.text is None else first.text[:LONGEST_TEXT],
    }
    return {key: encodable(value) if isinstance(value, str) else value for key, value in found.items()}
