"""What ten levels of compression of one trained model cost, beside testing that model ten times.

Levels are pruned, tested and saved by the engine, each as a branch of the version that has learnt a task. A second
strategy then compresses the same version; how many updates of learning that takes is counted.
"""

import argparse
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from clbench.benchmarks.engine.cell import Cell
from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.benchmarks.engine.execution import CellRun, workplace_in
from clbench.benchmarks.engine.learners import build_learner
from clbench.benchmarks.engine.samples import SampleStore
from clbench.benchmarks.evaluation.evaluator import Evaluator
from clbench.benchmarks.performance._measuring import DeviceClock, default_device, describe_machine, take_turns
from clbench.benchmarks.performance._report import Comparison, Report
from clbench.benchmarks.performance._suite_files import BATCH, STEPS, SuiteFiles
from clbench.streams.card import load_stream

TURNS = 3
LEVELS = tuple(share / 100 for share in range(5, 100, 10))
"""Shares of zeros."""
FIRST = {"learn": "finetune", "compress": "prune"}
SECOND = {"learn": "finetune", "compress": {"name": "prune", "rule": "random"}}


@dataclass
class Levels:
    """Runs cells of levels, each in a new folder that has the trained version already.

    Attributes:
        files: Writes the suites.
        device: Device of the learners.
        turns: Number of folders so far.
    """

    files: SuiteFiles
    device: torch.device
    turns: int = 0

    def __post_init__(self) -> None:
        self._tasks = self.files.tasks()
        self._learn = {"learn": self._tasks[0]["name"]}
        (cell,) = self.files.suite("trained", self._tasks, [self._learn], FIRST).cells
        self._trained = self.files.folder / "trained"
        self._run(cell, self._trained, lambda version: None)

    def seconds(self, clock: DeviceClock) -> float:
        """Seconds from when the trained version is found until the last level is pruned, tested and saved."""
        ends: list[float] = []
        self._run(self._cell(FIRST), self._new_folder(), lambda version: ends.append(clock.now()))
        return ends[-1] - ends[1]

    def learnt_by_a_second(self) -> int:
        """Number of updates of learning that a second strategy computes where a first one has been."""
        folder = self._new_folder()
        self._run(self._cell(FIRST), folder, lambda version: None)
        return 1 - self._run(self._cell(SECOND), folder, lambda version: None)

    def _cell(self, entry: Mapping[str, object]) -> Cell:
        branches = [{"compress": {"sparsity": share}, "parent": self._learn["learn"]} for share in LEVELS]
        (cell,) = self.files.suite("levels", self._tasks, [self._learn, *branches], entry).cells
        return cell

    def _new_folder(self) -> Path:
        self.turns += 1
        return shutil.copytree(self._trained, self.files.folder / f"turn{self.turns}")

    def _run(self, cell: Cell, out: Path, after_version: Callable[[int], None]) -> int:
        """Run a cell; the number of versions that were in the store."""
        folder = CellFolder(out / "suite" / cell.key)
        running = CellRun(cell, folder, workplace_in(out, self.device), lambda doing, step, total: None)
        running.run(after_version)
        return running.taken


def evaluations(options: argparse.Namespace, device: torch.device, folder: Path) -> Callable[[], None]:
    """Test the learner as often as there are levels, by the evaluator alone; the first call decodes the samples.

    Args:
        options: Stream and learner.
        device: Device of the learner.
        folder: For samples that do not fit into memory.

    Returns:
        The call that tests.
    """
    stream, learner = load_stream(options.stream), build_learner(options.learner, 0, device)
    samples = SampleStore(device, folder / "cache").of(stream.name, learner, options.learner)
    evaluator = Evaluator(stream, "test", samples)

    def test() -> None:
        for version in range(len(LEVELS)):
            evaluator.evaluate(learner, version)

    return test


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Stream and learner."""
    parser.add_argument("--stream", default="clip-mini", help="stream with data (default: %(default)s)")
    parser.add_argument("--learner", default="mini-clip", help="learner (default: %(default)s)")


def measure(options: argparse.Namespace) -> Report:
    """Ten levels beside ten evaluations, in turn; and what a second strategy learns."""
    clock = DeviceClock(default_device())
    with tempfile.TemporaryDirectory() as name:
        levels = Levels(SuiteFiles(Path(name), options.stream, options.learner), clock.device)
        ways = {
            "ten evaluations": partial(clock.seconds, evaluations(options, clock.device, Path(name))),
            "ten levels": partial(levels.seconds, clock),
        }
        work = "ten levels of one version"
        found = Comparison(work, "s", "ten evaluations", take_turns(ways, options.turns, work))
        figures = {"updates of learning for a second strategy": float(levels.learnt_by_a_second())}
    settings = {"stream": options.stream, "learner": options.learner, "steps": STEPS, "batch": BATCH}
    return Report("compression_levels", describe_machine(clock.device), settings, [found], figures)
