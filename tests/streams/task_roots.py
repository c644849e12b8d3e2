"""Small made-up copies of the repositories of PIQA, HellaSwag, GSM8K and SAMSum, in the formats that the hub has."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

Rows = list[dict[str, Any]]
README = """---
configs:
- config_name: main
  data_files:
  - {split: train, path: main/train-*}
  - {split: test, path: main/test-*}
- config_name: socratic
  data_files:
  - {split: train, path: socratic/train-*}
---
"""


def piqa(part: str, count: int) -> Rows:
    """Two solutions, the first one right in even rows."""
    return [
        {"goal": f"open a {part} jar {i}", "sol1": "twist the lid", "sol2": f"eat the lid {i}", "label": i % 2}
        for i in range(count)
    ]


def hellaswag(part: str, count: int) -> Rows:
    """Four endings; labels are texts."""
    endings = [" runs.  He [step] stops.", " sings", " [title] Sleep well", " flies off"]
    return [
        {
            "ind": i,
            "activity_label": "Dancing" if i % 2 else "[header] How to dance",
            "ctx_a": f"A man in {part} {i} [title] stands up.",
            "ctx_b": "then He",
            "endings": endings,
            "label": str(i % 4),
        }
        for i in range(count)
    ]


def gsm8k(part: str, count: int) -> Rows:
    """Sums with steps."""
    return [
        {"question": f"What is {i} plus {i} in {part}?", "answer": f"{i}+{i}=<<{i}+{i}={2 * i}>>{2 * i}\n#### {2 * i}"}
        for i in range(count)
    ]


def samsum(part: str, count: int) -> Rows:
    """Chats with the line ends of the published ones; the third one is empty, as one of the published is."""
    return [
        {
            "id": f"{part}{i}",
            "dialogue": "" if i == 2 else f"Ann: {part} {i}?\r\nBob: yes",
            "summary": f"Bob agrees {i}",
        }
        for i in range(count)
    ]


def task_root(root: Path, train: int = 20, test: int = 5) -> Path:
    """All four copies below a root, with so many rows."""
    for part, count in (("train", train), ("validation", test), ("test", test)):
        _parquet(root / "piqa" / "data" / f"{part}-00000-of-00001.parquet", piqa(part, count))
        _parquet(root / "hellaswag" / "data" / f"{part}-00000-of-00001.parquet", hellaswag(part, count))
        (root / "samsum").mkdir(exist_ok=True)
        pa.csv.write_csv(pa.Table.from_pylist(samsum(part, count)), root / "samsum" / f"{part}.csv")
        if part != "validation":
            for config in ("main", "socratic"):
                _parquet(root / "gsm8k" / config / f"{part}-00000-of-00001.parquet", gsm8k(f"{config} {part}", count))
    (root / "gsm8k" / "README.md").write_text(README, "utf-8")
    return root


def _parquet(path: Path, rows: Rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
