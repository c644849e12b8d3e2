"""Instance-level records of Every Eval Ever (schema 0.3.0, `instance_level_eval.schema.json`)."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from clbench.core.errors import DataError, did_you_mean
from clbench.reports.flips.answers import Answer, to_predictions
from clbench.reports.flips.predictions import Predictions
from clbench.reports.leaderboard.text import encodable, plain

SCHEMA_VERSION = "0.3.0"
RECORD = frozenset(
    {"schema_version", "evaluation_id", "evaluation_name", "sample_id", "interaction_type", "evaluation"}
)
"""Keys by which a record is known."""
NO_METRIC = "score"
"""Protocol of records that do not name the result that they belong to."""


def is_record(value: Mapping[str, object]) -> bool:
    """Whether a JSON object is such a record."""
    return value.keys() >= RECORD


def is_aggregate(value: Mapping[str, object]) -> bool:
    """Whether a JSON object is a file of aggregate results, which has no answers."""
    return "evaluation_results" in value and "schema_version" in value


def read_records(path: Path, records: Iterable[tuple[str, Mapping[str, Any]]], metric: str | None) -> Predictions:
    """Read the records of one model; repeated records of one sample count once, with their mean score.

    The answers are right or wrong if `is_correct` is the score in all records; else the scores are graded.

    Args:
        path: Where they are from, for messages.
        records: Each record with its place.
        metric: The `evaluation_result_id` to read; None if no sample has several.

    Raises:
        DataError: For a damaged record, records of several models, an unknown metric, or samples with several results
            if none was chosen.
    """
    results: dict[tuple[str, str], str | None] = {}
    answers: list[Answer] = []
    graded = False
    known: dict[str, None] = {}
    model = None
    for where, record in records:
        answer, result, correct = _answer(where, record)
        if model not in (None, record.get("model_id")):
            raise DataError(f"{where}: wanted answers of one model, got {model!r} and {record.get('model_id')!r}")
        model = record.get("model_id")
        known[result or NO_METRIC] = None
        if metric is not None and result != metric:
            continue
        before = results.setdefault((answer.task, answer.sample_id), result)
        if before != result:
            what = f"sample {answer.sample_id!r} has the results {before!r} and {result!r}"
            raise DataError(f"{where}: {what}: choose one with --metric")
        answers.append(answer)
        graded = graded or answer.score != correct
    if metric is not None and not answers:
        raise DataError(f"{path}: no evaluation_result_id {metric!r}: {did_you_mean(metric, map(plain, known))}")
    return to_predictions(encodable(str(path)), answers, metric or NO_METRIC, metric, graded=graded)


def _answer(where: str, record: Mapping[str, Any]) -> tuple[Answer, str | None, bool]:
    match record:
        case {
            "evaluation_name": str(task),
            "sample_id": str(sample),
            "input": {"raw": str(text), "reference": list(references)},
            "evaluation": {"score": bool() | int() | float() as score, "is_correct": bool(correct)},
        }:
            pass
        case _:
            wanted = "evaluation_name, sample_id, input.raw, input.reference, evaluation.score and .is_correct"
            raise DataError(f"{where}: damaged: wanted a record with {wanted}")
    result = record.get("evaluation_result_id")
    target = str(references[0]) if len(references) == 1 else json.dumps(references)
    prediction = next(_predictions(record), None)
    answer = Answer(task, sample, target, prediction, float(score), text)
    return answer, None if result is None else str(result), correct


def _predictions(record: Mapping[str, Any]) -> Iterator[str]:
    """What was extracted as the final answer, else what the model wrote."""
    for item in record.get("answer_attribution") or ():
        match item:
            case {"is_terminal": True, "extracted_value": str(value)}:
                yield value
    match record.get("output"):
        case {"raw": [str(value)]}:
            yield value
        case {"raw": list(values)}:
            yield json.dumps(values)
