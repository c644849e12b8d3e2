"""How fast `clbench compare` compares two large ledgers, beside a plain join of the same files with pyarrow.

Both run in a process of their own. Measured are seconds, processor seconds and the peak of resident memory.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from clbench.benchmarks.performance._measuring import default_device, describe_machine, note_progress, take_turns
from clbench.benchmarks.performance._report import Comparison, Report
from clbench.spec.ledger import SCHEMA

Integers = npt.NDArray[np.int64]
TURNS = 1
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
LAUNCHER = """
import os, subprocess, sys, time
start = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
sys.exit(1 if status else 0)
"""
"""Starts a command from a small process: a peak of memory begins with that of the process that starts it."""


@dataclass(frozen=True)
class MeasuredCommand:
    """A command that is run again and again, and what its processes used.

    Attributes:
        command: Program and arguments.
        processor_seconds: Of each run.
        peak_mib: Peak of resident memory in each run.
    """

    command: Sequence[str]
    processor_seconds: list[float] = field(default_factory=list)
    peak_mib: list[float] = field(default_factory=list)

    def run(self) -> float:
        """Run the command once and return its wall-clock seconds.

        Raises:
            SystemExit: When the command fails.
        """
        done = subprocess.run([sys.executable, "-c", LAUNCHER, *self.command], stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(self.command[:4])} ... failed")
        seconds, processor, peak = map(float, done.stdout.split())
        self.processor_seconds.append(processor)
        self.peak_mib.append(peak)
        return seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Size of the ledgers."""
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows of each ledger (default: %(default)s)")


def measure(options: argparse.Namespace) -> Report:
    """Make the ledgers, then measure both ways."""
    with tempfile.TemporaryDirectory() as name:
        old, new = (Path(name) / f"{version}.parquet" for version in ("old", "new"))
        for seed, path in enumerate((old, new), 1):
            note_progress(f"writing {options.rows:,} rows to {path.name}")
            write_random_ledger(path, options.rows, seed)
        commands = {
            "pyarrow": MeasuredCommand([sys.executable, "-c", REFERENCE, str(old), str(new)]),
            "clbench": MeasuredCommand([sys.executable, "-m", "clbench", "compare", str(old), str(new), "--json"]),
        }
        seconds = take_turns({way: command.run for way, command in commands.items()}, options.turns, "wall-clock time")
    counted = slice(-options.turns, None)
    processor = {way: command.processor_seconds[counted] for way, command in commands.items()}
    memory = {way: command.peak_mib[counted] for way, command in commands.items()}
    comparisons = [
        Comparison("wall-clock time", "s", "pyarrow", seconds),
        Comparison("processor time", "s", "pyarrow", processor),
        Comparison("peak memory", "MiB", "pyarrow", memory),
    ]
    machine = {**describe_machine(default_device()), "clock": "wall-clock"}
    return Report("comparison", machine, {"rows": options.rows}, comparisons)


def write_random_ledger(path: Path, rows: int, seed: int) -> None:
    """Write a ledger of random answers, seven in ten right, in a random order of samples.

    Args:
        path: File to write.
        rows: Number of samples.
        seed: Draws answers and order; the targets are the same for all seeds.
    """
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
