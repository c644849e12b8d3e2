"""How fast two large ledgers are compared, beside a plain join with pyarrow.

It makes two ledgers (10 million rows unless told otherwise) and measures `clbench compare --json` and the join, each in
a process of its own: seconds, and the peak of resident memory.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from clbench.core import strict_json
from clbench.spec.ledger import SCHEMA

Integers = npt.NDArray[np.int64]
CHUNK = 1_000_000
CLASSES = 100
TASKS = 10
REFERENCE = """
import sys
import pyarrow.parquet as pq
columns = ["task", "sample_id", "prediction", "target", "correct", "confidence"]
old, new = (pq.read_table(path, columns=columns) for path in sys.argv[1:])
joined = old.join(new, keys=["task", "sample_id"], join_type="full outer", right_suffix=" new")
print(joined.group_by(["correct", "correct new"]).aggregate([([], "count_all")]).to_pylist())
"""


def main() -> None:
    """Make the ledgers, measure both ways, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--repeat", type=int, default=1, help="The fastest of so many counts.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        old, new = (Path(name) / f"{side}.parquet" for side in ("old", "new"))
        write_random_ledger(old, arguments.rows, 1)
        write_random_ledger(new, arguments.rows, 2)
        ways = {
            "clbench": [sys.executable, "-m", "clbench", "compare", str(old), str(new), "--json"],
            "pyarrow": [sys.executable, "-c", REFERENCE, str(old), str(new)],
        }
        found = {way: best([measure(command) for _ in range(arguments.repeat)]) for way, command in ways.items()}
    ratio = found["clbench"]["seconds"] / found["pyarrow"]["seconds"]
    print(strict_json.dumps({"rows": arguments.rows, "cpus": os.cpu_count(), **found, "ratio": ratio}, indent=1))  # noqa: T201


def best(runs: list[dict[str, float]]) -> dict[str, float]:
    """The fastest run."""
    return min(runs, key=lambda run: run["seconds"])


def measure(command: list[str]) -> dict[str, float]:
    """Seconds, seconds of the processors and peak memory of a command."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"{' '.join(command[:4])} ... failed")
    return {"seconds": seconds, "cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_mb": usage.ru_maxrss / 1024}


def write_random_ledger(path: Path, rows: int, seed: int) -> None:
    """A ledger of answers that are right seven times in ten, its samples in an order of its own."""
    rng = np.random.default_rng(seed)
    targets = np.random.default_rng(0).integers(0, CLASSES, rows)
    order = rng.permutation(rows)
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for start in range(0, rows, CHUNK):
            writer.write_table(_chunk(order[start : start + CHUNK], targets, rng))


def _chunk(sample: Integers, targets: Integers, rng: np.random.Generator) -> pa.Table:
    target = targets[sample]
    guess = rng.integers(0, CLASSES, len(sample))
    prediction = np.where(rng.random(len(sample)) < 0.7, target, guess)
    zeros = np.zeros(len(sample), np.int32)
    columns = {
        "version": zeros,
        "protocol": _named(zeros, ["task-id"]),
        "task": _named(sample % TASKS, [f"task {i}" for i in range(TASKS)]),
        "sample_id": [f"sample {i:08d}" for i in sample.tolist()],
        "prediction": _named(prediction, [f"class {i}" for i in range(CLASSES)]),
        "target": _named(target, [f"class {i}" for i in range(CLASSES)]),
        "correct": prediction == target,
        "score": pa.nulls(len(sample), pa.float64()),
        "confidence": rng.random(len(sample), np.float32),
        "measures": pa.nulls(len(sample), SCHEMA.field("measures").type),
    }
    return pa.table(columns, schema=SCHEMA)


def _named(codes: npt.NDArray[np.integer[Any]], names: list[str]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(names)).dictionary_decode()


if __name__ == "__main__":
    main()
