"""How long `clbench report` takes over many cells: all of them, none that is new, and one that is new.

The cells are made up: answers whose accuracy rises when a task is learnt and decays afterwards. A strategy and a
seed have answers of their own, which their cells on all streams share. The command runs in a process of its own.
"""

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from clbench.benchmarks.performance._measuring import default_device, describe_machine, note_progress, take_turns
from clbench.benchmarks.performance._report import Check, Comparison, Report
from clbench.benchmarks.performance.comparison import MeasuredCommand
from clbench.core.storage import read_digest, write_json
from clbench.reports.compute_result import StreamOutline, compute_result
from clbench.spec.ledger import SCHEMA, write_ledger

TURNS = 1
TASKS = 10
CLASSES = 10
PROTOCOL = "task-id"
MIB = 2**20
LIMITS = {"all cells": 20.0, "one new cell": 3.0}
"""Seconds on two cores, for 1,000 cells of 10,000 rows."""


@dataclass(frozen=True)
class MadeUpCells:
    """Folders of cells as `clbench run` leaves them.

    Attributes:
        streams: Number of streams.
        strategies: Number of strategies.
        seeds: Number of seeds.
        rows: Rows of each ledger, at least.
    """

    streams: int
    strategies: int
    seeds: int
    rows: int

    def write(self, out: Path) -> None:
        """Write all cells below a folder.

        Args:
            out: The output folder.
        """
        for strategy in range(self.strategies):
            note_progress(f"strategy {strategy + 1} of {self.strategies}")
            for seed in range(self.seeds):
                ledger = out / f".ledger-{strategy}-{seed}.parquet"
                write_ledger(_answers(strategy, seed, self.rows), ledger)
                found = result_of(ledger, strategy)
                for stream in range(self.streams):
                    write_cell(out, (stream, strategy, seed), ledger, found)
                ledger.unlink()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Number of cells and their size."""
    for name, number in (("streams", 10), ("strategies", 20), ("seeds", 5), ("rows", 10_000)):
        parser.add_argument(f"--{name}", type=int, default=number, help="default: %(default)s")


def measure(options: argparse.Namespace) -> Report:
    """Make the cells, then time the command."""
    cells = MadeUpCells(options.streams, options.strategies, options.seeds, options.rows)
    with tempfile.TemporaryDirectory() as name:
        out, site = Path(name) / "runs", Path(name) / "site"
        cells.write(out)
        first = next((out / "made-up").iterdir())
        arguments = [sys.executable, "-m", "clbench", "report", "--from", str(out), "--out", str(site)]
        commands = {way: MeasuredCommand(arguments) for way in ("all cells", "none that is new", "one new cell")}
        added = iter(range(options.seeds, 10_000))

        def whole() -> float:
            shutil.rmtree(site, ignore_errors=True)
            return commands["all cells"].run()

        def one_new() -> float:
            seed = next(added)
            found = json.loads((first / "result.json").read_text())
            write_cell(out, (0, 0, seed), first / "ledger.parquet", found)
            return commands["one new cell"].run()

        ways = {"all cells": whole, "none that is new": commands["none that is new"].run, "one new cell": one_new}
        seconds = take_turns(ways, options.turns, "wall-clock time")
        sizes = [path.stat().st_size / MIB for path in site.rglob("*.html")]
    count = options.streams * options.strategies * options.seeds
    checks = [Check("pages", "largest page below 2 MiB", f"{max(sizes):.2f} MiB", max(sizes) < 2)]
    if count == 1000 and options.rows >= 10_000:
        checks += [
            Check("time", f"{way} in {limit:g} s", f"{max(seconds[way]):.1f} s", max(seconds[way]) <= limit)
            for way, limit in LIMITS.items()
        ]
    machine = {**describe_machine(default_device()), "clock": "wall-clock"}
    figures = {
        "pages": float(len(sizes)),
        "largest page, MiB": max(sizes),
        "peak memory, MiB": max(commands["all cells"].peak_mib),
    }
    settings = {"cells": count, "rows": options.rows}
    processor = {way: command.processor_seconds[-options.turns :] for way, command in commands.items()}
    comparisons = [
        Comparison("wall-clock time", "s", "all cells", seconds),
        Comparison("processor time", "s", "all cells", processor),
    ]
    return Report("report", machine, settings, comparisons, figures, checks)


def result_of(ledger: Path, strategy: int) -> dict[str, object]:
    """The content of `result.json` for a ledger.

    Args:
        ledger: The ledger.
        strategy: Number of the strategy, on which the cost depends.
    """
    from clbench.spec.ledger import read_ledger

    outline = StreamOutline({f"task {task}": "classification" for task in range(TASKS)}, (PROTOCOL,))
    numbers = {"seconds/train": 3.0 + strategy, "seconds/eval": 1.0, "memory/process_peak_mb": 900.0}
    result = compute_result(outline, read_ledger(ledger), [numbers] * (TASKS + 1))
    digest = read_digest(ledger)
    return {"status": "finished", "versions": TASKS + 1, "ledger": digest, "result": result.as_json()}


def write_cell(out: Path, numbers: tuple[int, int, int], ledger: Path, result: dict[str, object]) -> Path:
    """Write the folder of a cell.

    Args:
        out: The output folder.
        numbers: Of stream, strategy and seed.
        ledger: Its ledger, which is copied.
        result: Content of its `result.json`.

    Returns:
        The folder.
    """
    stream, strategy, seed = f"stream-{numbers[0]}", f"strategy-{numbers[1]}", numbers[2]
    folder = out / "made-up" / f"{stream}--model--{strategy}--seed{seed}"
    folder.mkdir(parents=True)
    shutil.copyfile(ledger, folder / "ledger.parquet")
    settings: dict[str, object] = {
        "title": f"{stream} / model / {strategy} / seed {seed}",
        "clbench": "made up",
        "stream": {"name": stream},
        "learner": {"name": "model"},
        "strategy": {"name": strategy, "settings": {"lr": 0.001}},
        "budget": {"steps": 100, "batch_size": 32},
        "seed": seed,
        "split": "test",
    }
    write_json(folder / "cell.json", settings)
    write_json(folder / "result.json", result)
    return folder


def _answers(strategy: int, seed: int, rows: int) -> pa.Table:
    """A ledger: right with 0.3 before a task is learnt, 0.85 then, and less with every later update."""
    samples = -(-rows // ((TASKS + 1) * TASKS))
    rng = np.random.default_rng([strategy, seed])
    version, task, sample = (a.ravel() for a in np.indices((TASKS + 1, TASKS, samples)))
    since = version - task - 1
    chance = np.where(since < 0, 0.3, 0.3 + 0.55 * (0.75 + 0.012 * strategy) ** np.maximum(since, 0))
    luck = np.random.default_rng([7, seed]).random((TASKS, samples))[task, sample]
    right = 0.8 * luck + 0.2 * rng.random(len(version)) < chance
    target = sample % CLASSES
    prediction = np.where(right, target, (target + 1 + rng.integers(0, CLASSES - 1, len(version))) % CLASSES)
    columns = {
        "version": version.astype(np.int32),
        "protocol": pa.array([PROTOCOL] * len(version)),
        "task": _named(task, "task"),
        "sample_id": _named(sample, "sample"),
        "prediction": _named(prediction, "class"),
        "target": _named(target, "class"),
        "correct": right,
        "score": pa.nulls(len(version), pa.float64()),
        "confidence": (0.5 + 0.5 * rng.random(len(version))).astype(np.float32),
        "measures": pa.nulls(len(version), SCHEMA.field("measures").type),
    }
    return pa.table(columns, schema=SCHEMA)


def _named(codes: npt.NDArray[np.integer[Any]], what: str) -> pa.Array:
    names = pa.array([f"{what} {number}" for number in range(int(codes.max()) + 1)])
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), names).dictionary_decode()
