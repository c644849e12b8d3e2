"""Folders of cells as a run leaves them, with made predictions."""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from clbench.core.storage import read_digest, write_json
from clbench.reports.compute_result import StreamOutline, compute_result
from clbench.spec.ledger import SCHEMA, write_ledger
from clbench.spec.update import Update, update_as_json

Answers = npt.NDArray[np.bool_]
PROTOCOL = "task-id"
CLASSES = ("yes", "no")


def ledger(right: Answers, protocol: str = PROTOCOL, samples: Sequence[str] | None = None) -> pa.Table:
    """Rows of right and wrong answers, for `right` of shape (versions, tasks, samples)."""
    versions, tasks, n = right.shape
    names = samples or [f"s{number}" for number in range(n)]
    rows: list[dict[str, Any]] = [
        {
            "version": version,
            "protocol": protocol,
            "task": f"task{task}",
            "sample_id": f"task{task}/{names[sample]}",
            "prediction": CLASSES[(sample + int(not right[version, task, sample])) % 2],
            "target": CLASSES[sample % 2],
            "correct": bool(right[version, task, sample]),
            "confidence": 0.5,
        }
        for version in range(versions)
        for task in range(tasks)
        for sample in range(n)
    ]
    return pa.Table.from_pylist(rows, SCHEMA)


def write_cell(
    suite: Path,
    right: Answers,
    method: str = "finetune",
    seed: int = 0,
    *,
    updates: Sequence[Update] = (),
    stream: str = "made",
    samples: Sequence[str] | None = None,
    weights: str = "",
    steps: int = 5,
) -> Path:
    """A finished cell in the folder of a suite."""
    versions, tasks, _ = right.shape
    rows = ledger(right, samples=samples)
    given = [update_as_json(update) for update in updates]
    settings: dict[str, object] = {
        "schema": 2,
        "clbench": "0.1.0",
        "stream": {"name": stream, "data": f"shots of seed {seed}", **({"updates": given} if updates else {})},
        "learner": {"name": "tiny"},
        "strategy": {"name": method.split()[0], "settings": {"weights": weights}},
        "budget": {"steps": steps},
        "seed": seed,
        "split": "test",
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
    place = suite / f"{stream}--tiny--{re.sub('[^a-z0-9]', '_', method)}--seed{seed}--{digest}"
    write_json(place / "cell.json", {"title": f"{stream} / tiny / {method} / seed {seed}", **settings})
    passed = {"passes/with_gradient": 32.0, "passes/without_gradient": 10.0}
    numbers = [
        {"seconds/train": 0.5 * version, "memory/process_peak_mb": 100.0, **passed} for version in range(versions)
    ]
    for version, of in enumerate(numbers):
        record = {"version": version, "digest": "ab", "numbers": of, "device": "cpu", "tested": True}
        write_json(place / "versions" / f"{version:04d}" / "record.json", record)
    outline = StreamOutline({f"task{task}": "classification" for task in range(tasks)}, (PROTOCOL,), tuple(updates))
    result = compute_result(outline, rows, numbers)
    write_ledger(rows, place / "ledger.parquet")
    ledger_digest = read_digest(place / "ledger.parquet")
    found = {"status": "finished", "versions": versions, "ledger": ledger_digest, "result": result.as_json()}
    write_json(place / "result.json", found)
    return place


def random_answers(seed: int, tasks: int = 3, samples: int = 20) -> Answers:
    """Answers of a stream that learns its tasks in order: 80 % right on what was learnt, 30 % on what was not."""
    rng = np.random.default_rng(seed)
    version, task = np.mgrid[: tasks + 1, :tasks]
    return rng.random((tasks + 1, tasks, samples)) < np.where(version > task, 0.8, 0.3)[..., np.newaxis]
