"""Small ledgers for tests."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from clbench.spec.ledger import SCHEMA, write_ledger


def rows(answers: Sequence[str], targets: Sequence[str], **more: Any) -> list[dict[str, Any]]:
    """Rows with right and wrong answers, sample i being the i-th."""
    same = {"version": 1, "protocol": "task-id", "task": "birds", "score": None, "confidence": 0.5, **more}
    return [
        {**same, "sample_id": f"s{i}", "prediction": answer, "target": target, "correct": answer == target}
        for i, (answer, target) in enumerate(zip(answers, targets, strict=True))
    ]


def graded(scores: Sequence[float], **more: Any) -> list[dict[str, Any]]:
    """Rows with graded scores."""
    same = {"version": 1, "protocol": "task-id", "task": "texts", "prediction": None, "target": None, "correct": None}
    return [{**same, "confidence": None, "sample_id": f"s{i}", "score": s, **more} for i, s in enumerate(scores)]


def table(made: Sequence[dict[str, Any]]) -> pa.Table:
    """Rows as a ledger in memory."""
    return pa.Table.from_pylist(list(made), SCHEMA)


def write(path: Path, made: Sequence[dict[str, Any]]) -> Path:
    """Rows as a ledger on disk."""
    write_ledger(table(made), path)
    return path


def random_rows(seed: int, n: int = 200, tasks: int = 3, **more: Any) -> list[dict[str, Any]]:
    """Answers out of three classes to the same questions whatever the seed."""
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(0)
    made = []
    for task in range(tasks):
        targets = [f"class {i}" for i in fixed.integers(0, 3, n)]
        answers = [t if rng.random() < 0.6 else f"class {rng.integers(0, 3)}" for t in targets]
        found = rows(answers, targets, task=f"task {task}", **more)
        made += [{**row, "confidence": round(float(rng.random()), 3)} for row in found]
    return made
