"""Folders of cells with made-up answers about the real samples of a stream that ships with the package."""

import random
from pathlib import Path
from typing import Any

from tests.reports.flips.ledgers import write

from clbench.core.storage import write_json
from clbench.streams.card import load_stream


def made_cell(folder: Path, stream: str, protocol: str = "task-id", tasks: int = 2, samples: int = 40) -> Path:
    """A cell with versions 0 and 1; the ledger in it. Right answers and chance, by a fixed seed."""
    draw = random.Random(0)
    rows: list[dict[str, Any]] = []
    for task in load_stream(stream).tasks[:tasks]:
        data = task.load("test").select_columns(["sample_id", "label"])
        for version in (0, 1):
            for row in data.select(range(samples)):
                target = task.classes[row["label"]]
                said = target if draw.random() < 0.5 else draw.choice(task.classes)
                rows.append(
                    {"version": version, "protocol": protocol, "task": task.name, "sample_id": row["sample_id"],
                     "prediction": said, "target": target, "correct": said == target, "score": None,
                     "confidence": draw.random()}
                )  # fmt: skip
    folder.mkdir(parents=True)
    write_json(folder / "cell.json", {"title": "made up", "stream": {"name": stream}, "split": "test"})
    return write(folder / "ledger.parquet", rows)
