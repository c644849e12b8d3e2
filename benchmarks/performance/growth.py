"""Cost as work grows: tasks of a stream, processes side by side, rows of ledgers that are compared.

Made-up images in the layout of real streams, mini-clip, one step a task: what is measured is everything but training.
Each command runs in a process of its own, whose processor time and peak memory are taken.
"""

import argparse
import io
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import yaml
from datasets import ClassLabel, Dataset, Features, Value, disable_progress_bars
from datasets import Image as ImageFeature
from PIL import Image

from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.benchmarks.engine.execution import CellRun, workplace_in
from clbench.benchmarks.engine.suite import load_suite
from clbench.benchmarks.performance._measuring import default_device, describe_machine, note_progress
from clbench.benchmarks.performance._report import Comparison, Report
from clbench.spec.ledger import SCHEMA, write_ledger

TURNS = 1
CLASSES = 3
ROWS = {"train": 8, "validation": 4, "test": 30}


@dataclass(frozen=True)
class Cost:
    """What a process took: seconds of processor time and of the clock, and its peak memory in MiB."""

    processor: float
    clock: float
    peak_mib: float


USED = """
import json, os, subprocess, sys, time
started = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(process.pid, 0)
seconds = time.perf_counter() - started
print(json.dumps([os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, seconds, used.ru_maxrss / 1024]))
"""
"""Program of a small process between this one and the command, whose peak memory would begin with that of this one."""


def command(*arguments: object) -> Cost:
    """Run `clbench` with arguments.

    Raises:
        CalledProcessError: When it fails.
    """
    line = [sys.executable, "-m", "clbench", *map(str, arguments)]
    done = subprocess.run([sys.executable, "-c", USED, *line], check=True, stdout=subprocess.PIPE)
    status, processor, clock, peak = json.loads(done.stdout)
    if status:
        raise subprocess.CalledProcessError(status, line)
    return Cost(processor, clock, peak)


def write_suite(folder: Path, tasks: int, seeds: int = 1, steps: int = 1) -> Path:
    """A stream of made-up tasks and a suite of one strategy on it.

    Args:
        folder: Where to; it must not be there.
        tasks: Number of tasks.
        seeds: Number of cells.
        steps: Optimizer steps of a task.
    """
    disable_progress_bars()
    folder.mkdir()
    rng = np.random.default_rng(0)
    names = [f"task-{number}" for number in range(tasks)]
    for name in names:
        (folder / "data" / name).mkdir(parents=True)
        classes = ClassLabel(names=[f"{name} {label}" for label in range(CLASSES)])
        features = Features({"sample_id": Value("string"), "image": ImageFeature(), "label": classes})
        for split, size in ROWS.items():
            rows = [
                {"sample_id": f"{name}/{split}/{n}", "image": {"bytes": _noise(rng)}, "label": n % CLASSES}
                for n in range(size)
            ]
            Dataset.from_list(rows, features=features).to_parquet(folder / "data" / name / f"{split}.parquet")
    card = {
        "name": f"growth-{tasks}",
        "description": "Made for a measurement.",
        "loader": "image-parquet",
        "data": "data",
        "learner": "mini-clip",
        "protocols": ["task-id", "union"],
        "order_reason": "none",
        "tasks": [
            {"name": name, "kind": "classification", "metric": "accuracy", "templates": ["a {}"]} for name in names
        ],
    }
    (folder / "card.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")
    suite = {
        "streams": [str(folder / "card.yaml")],
        "strategies": ["finetune"],
        "seeds": list(range(seeds)),
        "budget": {"steps": steps, "batch_size": 8},
        "threads": 1,
    }
    (folder / "suite.yaml").write_text(yaml.safe_dump(suite), encoding="utf-8")
    return folder / "suite.yaml"


def _noise(rng: np.random.Generator) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(buffer, "png")
    return buffer.getvalue()


def cost_of_tasks(folder: Path, tasks: int) -> dict[str, float]:
    """What one cell of a number of tasks costs, and what it takes to go on before its last version.

    Args:
        folder: Empty folder.
        tasks: Number of tasks.
    """
    suite = write_suite(folder / "made", tasks)
    out = folder / "out"
    whole = command("run", suite, "--out", out, "--workers", 1, "--device", "cpu")
    again = command("run", suite, "--out", out, "--workers", 1, "--device", "cpu")
    cell = load_suite(str(suite)).cells[0]
    records = CellFolder(out / "suite" / cell.key)
    numbers = [records.record(version).numbers for version in range(tasks + 1)]
    return {
        "all, s": whole.processor,
        "testing, s": sum(found["seconds/eval"] for found in numbers),
        "testing a version, s": numbers[-1]["seconds/eval"],
        "training a version, s": numbers[-1]["seconds/train"],
        "peak, MiB": whole.peak_mib,
        "look-up, s": again.processor,
        "resume, s": resume_seconds(folder / "cut", suite),
    }


class _CutError(Exception):
    """Ends a run where it is."""


def resume_seconds(folder: Path, suite: Path) -> float:
    """Seconds from the start of a cell whose last version is missing to the first step of that version.

    Args:
        folder: Folder for the run.
        suite: Its suite.
    """
    cell = load_suite(str(suite)).cells[0]
    last = cell.load_stream().last_version

    def cut(version: int) -> None:
        if version == last - 1:
            raise _CutError

    def stop(doing: str, *_: int) -> None:
        if doing == "train":
            raise _CutError

    def attempt(progress: object, after: object) -> None:
        try:
            run = CellRun(cell, CellFolder(folder / cell.key), workplace_in(folder, default_device()), progress)  # type: ignore[arg-type]
            run.run(after)  # type: ignore[arg-type]
        except _CutError:
            return

    attempt(lambda doing, step, total: None, cut)
    started = time.perf_counter()
    attempt(stop, lambda version: None)
    return time.perf_counter() - started


def cost_of_rows(folder: Path, rows: int) -> dict[str, float]:
    """What it costs to compare two ledgers.

    Args:
        folder: Empty folder.
        rows: Rows of each.
    """
    rng = np.random.default_rng(0)
    paths = [folder / f"{name}.parquet" for name in ("old", "new")]
    answers = rng.integers(0, 10, rows)
    for path in paths:
        given = np.where(rng.random(rows) < 0.8, answers, rng.integers(0, 10, rows))
        write_ledger(_ledger(answers, given), path)
    cost = command("compare", *paths, "--json")
    return {"compare, s": cost.processor, "compare, peak MiB": cost.peak_mib}


def _ledger(target: "np.ndarray", prediction: "np.ndarray") -> pa.Table:
    n = len(target)
    names = pa.array([f"class {label}" for label in range(10)])
    columns = {
        "version": pa.array(np.ones(n, np.int32)),
        "protocol": pa.array(np.full(n, "task-id")),
        "task": pa.array([f"task {number}" for number in range(10)]).take(pa.array(np.arange(n) % 10)),
        "sample_id": pa.array(np.char.add("sample ", np.arange(n).astype(str))),
        "prediction": names.take(pa.array(prediction)),
        "target": names.take(pa.array(target)),
        "correct": pa.array(prediction == target),
    }
    missing = {name: pa.nulls(n, SCHEMA.field(name).type) for name in SCHEMA.names if name not in columns}
    return pa.table({**columns, **missing}).select(SCHEMA.names).cast(SCHEMA)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Sizes, and a file for the plots."""
    parser.add_argument("--tasks", default="5,10,20,50", help="numbers of tasks (default: %(default)s)")
    parser.add_argument("--workers", default="1,2,4", help="numbers of processes (default: %(default)s)")
    parser.add_argument("--rows", default="100000,1000000,10000000", help="rows of a ledger (default: %(default)s)")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="also plot them (PNG or SVG)")


def measure(options: argparse.Namespace) -> Report:
    """Each size once; the slope in a doubly logarithmic plot says how it grows."""
    curves: dict[str, dict[int, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        for size in _sizes(options.tasks):
            (folder := Path(name) / f"tasks-{size}").mkdir()
            _add(curves, "tasks", size, cost_of_tasks(folder, size))
        (folder := Path(name) / "workers").mkdir()
        suite = write_suite(folder / "made", 3, seeds=8, steps=40)
        for size in _sizes(options.workers):
            cost = command("run", suite, "--out", folder / str(size), "--workers", size, "--device", "cpu")
            _add(curves, "processes", size, {"eight cells, s by the clock": cost.clock})
        for size in _sizes(options.rows):
            (folder := Path(name) / f"rows-{size}").mkdir()
            _add(curves, "rows", size, cost_of_rows(folder, size))
    if options.plot:
        _plot(curves, options.plot)
    comparisons = []
    for what, curve in curves.items():
        ways = {f"{size:,}": [value] for size, value in curve.items()}
        comparisons.append(Comparison(what, what.rpartition(", ")[2], next(iter(ways)), ways))
    figures = {f"growth of {what}, power": _slope(curve) for what, curve in curves.items() if len(curve) > 1}
    return Report("growth", describe_machine(default_device()), {"learner": "mini-clip"}, comparisons, figures)


def _sizes(text: str) -> list[int]:
    return [int(item) for item in text.split(",") if item]


def _add(curves: dict[str, dict[int, float]], of: str, size: int, costs: Mapping[str, float]) -> None:
    for what, value in costs.items():
        curves.setdefault(f"{of}: {what}", {})[size] = value
        note_progress(f"{size:,} {of}: {what}: {value:.4g}")


def _slope(curve: Mapping[int, float]) -> float:
    """The power p of value ~ size^p between the two largest sizes."""
    (small, before), (large, after) = sorted(curve.items())[-2:]
    return math.log(after / before) / math.log(large / small)


def _plot(curves: Mapping[str, Mapping[int, float]], path: Path) -> None:
    from matplotlib.figure import Figure

    groups: dict[str, list[str]] = {}
    for what in curves:
        groups.setdefault(what.partition(": ")[0], []).append(what)
    figure = Figure(figsize=(4.2 * len(groups), 4.6), layout="constrained")
    for number, (of, members) in enumerate(groups.items(), 1):
        axes = figure.add_subplot(1, len(groups), number)
        sizes: Sequence[int] = list(curves[members[0]])
        for what in members:
            axes.plot(sizes, [curves[what][size] for size in sizes], marker="o", label=what.partition(": ")[2])
        axes.set(xscale="log", yscale="log", xlabel=of)
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.minorticks_off()
        axes.set_ylim(bottom=min(axes.get_ylim()[0], axes.get_ylim()[1] / 10))
        axes.grid(visible=True, alpha=0.3)
        axes.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    figure.savefig(path, dpi=120)
