"""How long a finished suite takes to look up: all its files are read and checked, nothing is computed.

A cell of ten versions is computed once. Copies of its folder under the names of the other cells stand for their runs.
The bare way reads the same files and does nothing with them. The whole command is also timed, in a process of its own,
beside a process that does the same imports alone.
"""

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from clbench.benchmarks.engine.runner import RunOptions, SuiteResult, run_suite
from clbench.benchmarks.engine.suite import Suite, load_suite
from clbench.benchmarks.engine.summary import summarise, update_tables
from clbench.benchmarks.performance._measuring import DeviceClock, describe_machine, note_progress, take_turns
from clbench.benchmarks.performance._report import Comparison, Report
from clbench.benchmarks.performance._suite_files import SuiteFiles
from clbench.benchmarks.tracking.store import default_uri

TURNS = 3
VERSIONS = 10
"""Versions of a cell, version 0 included."""
NOTHING = {"learn": "zero-shot", "compress": "zero-shot"}
IMPORTS = "import datasets, mlflow, torch, clbench.benchmarks.engine.runner, clbench.reports.site.site_writer"


@dataclass(frozen=True)
class FinishedSuite:
    """A suite all of whose cells are finished.

    Attributes:
        suite: The suite.
        path: Its file.
        out: The output folder.
    """

    suite: Suite
    path: Path
    out: Path

    @classmethod
    def make(cls, files: SuiteFiles, cells: int) -> "FinishedSuite":
        """Compute one cell, copy it for the others, and log all of them.

        Args:
            files: Writes the suite.
            cells: Number of cells.
        """
        tasks = files.tasks(2)
        updates: list[dict[str, object]] = [{"learn": task["name"]} for task in tasks]
        updates += [{"compress": {"bits": 32}, "name": f"level {n}"} for n in range(VERSIONS - 1 - len(tasks))]
        out = files.folder / "out"
        (one,) = run(files.suite("finished", tasks, updates, NOTHING), out).outcomes
        suite = files.suite("finished", tasks, updates, NOTHING, range(cells))
        for cell in suite.cells[1:]:
            shutil.copytree(one.folder.path, one.folder.path.with_name(cell.key))
            (one.folder.path.with_name(cell.key) / "tracking.json").unlink()
        run(suite, out)
        return cls(suite, files.folder / "finished.yaml", out)

    def look_up(self) -> None:
        """What the runner and the tables do."""
        outcomes = run(load_suite(str(self.path)), self.out).outcomes
        summarise(outcomes)
        update_tables(outcomes)
        assert all(outcome.status == "kept" for outcome in outcomes)

    def read(self) -> None:
        """Read all files of the cells."""
        for path in (self.out / self.suite.name).rglob("*.*"):
            if path.is_file():
                path.read_bytes()

    @property
    def command(self) -> list[str]:
        """Arguments of Python that do the same in a process of its own."""
        return ["-m", "clbench", "run", str(self.path), "--out", str(self.out), "--device", "cpu"]


class Silent:
    """A listener that writes problems on standard error."""

    def on_cell_start(self, *arguments: object) -> None:
        """Do nothing."""

    on_version_end = on_cell_end = on_step = on_cell_start

    def on_problem(self, message: str) -> None:
        """Say it."""
        note_progress(message)


def run(suite: Suite, out: Path) -> SuiteResult:
    """Run or look up a suite on the CPU."""
    return run_suite(suite, RunOptions(out, torch.device("cpu"), default_uri(out)), Silent())


def process_seconds(clock: DeviceClock, arguments: Sequence[str]) -> float:
    """Seconds of a process of this Python from its start to its end, by the kind of clock of this process.

    Args:
        clock: The clock.
        arguments: Arguments of Python.
    """
    started, used = time.perf_counter(), _used_by_children()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return _used_by_children() - used if clock.kind == "processor" else time.perf_counter() - started


def _used_by_children() -> float:
    """Seconds of processor time of all processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Number of cells, stream and learner."""
    parser.add_argument("--cells", type=int, default=100, help=f"cells of {VERSIONS} versions (default: %(default)s)")
    parser.add_argument("--stream", default="clip-mini", help="stream with data (default: %(default)s)")
    parser.add_argument("--learner", default="mini-clip", help="learner (default: %(default)s)")


def measure(options: argparse.Namespace) -> Report:
    """The look-up beside bare reading, and the command beside its imports."""
    clock = DeviceClock(torch.device("cpu"))
    with tempfile.TemporaryDirectory() as name:
        finished = FinishedSuite.make(SuiteFiles(Path(name), options.stream, options.learner), options.cells)
        inside = {
            "bare reading": partial(clock.seconds, finished.read),
            "look-up": partial(clock.seconds, finished.look_up),
        }
        outside = {
            "imports alone": partial(process_seconds, clock, ["-c", IMPORTS]),
            "clbench run": partial(process_seconds, clock, finished.command),
        }
        what = f"{options.cells * VERSIONS:,} versions"
        comparisons = [
            Comparison(f"{what}, in a process that runs", "s", "bare reading", take_turns(inside, options.turns, what)),
            Comparison(f"{what}, a process each", "s", "imports alone", take_turns(outside, options.turns, what)),
        ]
    settings = {"stream": options.stream, "learner": options.learner, "cells": options.cells}
    return Report("finished_suite", describe_machine(clock.device), settings, comparisons)
