"""Writes predictions as records of Every Eval Ever (schema 0.3.0): a file of results, and one of single samples."""

import re
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import final

import duckdb

from clbench import __version__
from clbench.core import strict_json
from clbench.core.storage import file_digest, write_json, written_whole
from clbench.reports.flips.every_eval_ever import SCHEMA_VERSION
from clbench.reports.flips.pairing import checked_view, database
from clbench.reports.flips.predictions import Predictions

ROWS = "SELECT task, sample_id, prediction, target, correct, score, text FROM rows ORDER BY task, sample_id"
AT_ONCE = 1000
UNKNOWN = "unknown"


@final
class _Sums:
    """Number and sum of the scores of each task and metric."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], tuple[int, float]] = {}

    def add(self, key: tuple[str, str], score: float) -> None:
        n, total = self.found.get(key, (0, 0.0))
        self.found[key] = (n + 1, total + score)


def write_records(predictions: Predictions, folder: Path, *, lower_is_better: bool = False) -> Path:
    """Write the answers of one model below `data/clbench/unknown/MODEL/` of a folder.

    The score of a right or wrong answer is 1 or 0; a graded answer has its score, and is correct if that is 1. Rows
    without either are left out. What predictions do not know (organization, developer) is `unknown`.

    Args:
        predictions: The predictions.
        folder: Folder for the files; each call adds two with a new name.
        lower_is_better: Whether graded scores are errors.

    Returns:
        The file of results.

    Raises:
        DataError: For predictions that are damaged or have a sample twice.
        ClbenchError: If the disk is full or not writable.
    """
    model, now = re.sub(r"[^\w.@-]+", "_", predictions.name).strip("_.") or "model", f"{time.time():.6f}"
    ids = {"evaluation_id": f"clbench/{UNKNOWN}_{model}/{now}", "model_id": f"{UNKNOWN}/{model}"}
    place = f"data/clbench/{UNKNOWN}/{model}"
    name, sums = uuid.uuid4(), _Sums()
    samples = folder / place / f"{name}_samples.jsonl"
    with database(predictions) as (connection, temporary), written_whole(samples) as aside:
        checked_view(connection, temporary, predictions, "rows", None)
        with aside.open("w", encoding="utf-8") as lines:
            for record in _records(connection, predictions.metric or "score", sums):
                lines.write(f"{strict_json.dumps({'schema_version': SCHEMA_VERSION, **ids, **record})}\n")
    results = folder / place / f"{name}.json"
    detailed = {
        "format": "jsonl",
        "file_path": f"{place}/{samples.name}",
        "hash_algorithm": "sha256",
        "checksum": file_digest(samples),
        "total_rows": sum(n for n, _ in sums.found.values()),
    }
    values = {**_header(ids, predictions.name, now), "evaluation_results": _results(sums, lower_is_better)}
    write_json(results, {**values, "detailed_evaluation_results": detailed})
    return results


def _records(connection: duckdb.DuckDBPyConnection, metric: str, sums: _Sums) -> Iterator[Mapping[str, object]]:
    rows = connection.execute(ROWS)
    while found := rows.fetchmany(AT_ONCE):
        for task, sample, prediction, target, correct, score, text in found:
            if correct is None and score is None:
                continue
            kind, number = (metric, score) if correct is None else ("accuracy", float(correct))
            sums.add((task, kind), number)
            yield {
                "evaluation_name": task,
                "evaluation_result_id": f"{task}:{kind}",
                "sample_id": sample,
                "interaction_type": "single_turn",
                "input": {"raw": text or "", "reference": [] if target is None else [target]},
                "output": {"raw": [] if prediction is None else [prediction]},
                "answer_attribution": [],
                "evaluation": {"score": number, "is_correct": number == 1 if correct is None else correct},
            }


def _header(ids: Mapping[str, str], name: str, now: str) -> dict[str, object]:
    details = {"deployment_type": UNKNOWN, "model_availability": UNKNOWN}
    return {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": ids["evaluation_id"],
        "retrieved_timestamp": now,
        "source_metadata": {
            "source_name": "clbench",
            "source_type": "evaluation_run",
            "source_organization_name": UNKNOWN,
            "evaluator_relationship": "other",
        },
        "eval_library": {"name": "clbench", "version": __version__},
        "model_info": {"name": name, "id": ids["model_id"], "additional_details": details},
    }


def _results(sums: _Sums, lower_is_better: bool) -> list[dict[str, object]]:
    return [
        {
            "evaluation_result_id": f"{task}:{kind}",
            "evaluation_name": task,
            "source_data": {"dataset_name": task, "source_type": "other"},
            "metric_config": {
                "metric_name": kind,
                "lower_is_better": lower_is_better and kind != "accuracy",
                **({"score_type": "binary"} if kind == "accuracy" else {}),  # `continuous` must state its bounds
            },
            "score_details": {"score": total / n, "uncertainty": {"num_samples": n}},
        }
        for (task, kind), (n, total) in sums.found.items()
    ]
