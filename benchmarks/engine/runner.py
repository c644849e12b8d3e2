"""The runner: all cells of a suite, one after another; it alone owns order, failure and the outside world."""

import fcntl
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol as Interface

import torch

from clbench.benchmarks.engine.cell import Cell
from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.benchmarks.engine.environment import describe
from clbench.benchmarks.engine.execution import CellRun, Workplace, workplace_in
from clbench.benchmarks.engine.result_backup import ResultBackup
from clbench.benchmarks.engine.retention import Keep
from clbench.benchmarks.engine.suite import Suite
from clbench.benchmarks.evaluation.harness_probe import HarnessProbe
from clbench.benchmarks.tracking.best_effort import BestEffort, catch_up
from clbench.benchmarks.tracking.tracker import Tracker
from clbench.core.errors import ClbenchError, ConfigError


class Listener(Interface):
    """An observer of a running suite, such as the progress bars of the command line."""

    def on_cell_start(self, index: int, cell: Cell, versions: int) -> None:
        """A cell begins.

        Args:
            index: Place of the cell in the suite, from 0.
            cell: The cell.
            versions: Number of its versions, version 0 included.
        """

    def on_version_end(self, version: int) -> None:
        """A version of the cell is trained, tested and saved."""

    def on_step(self, doing: str, step: int, total: int) -> None:
        """Work on a version goes on.

        Args:
            doing: Kind of work (`train`, `test`, `decode`, `probe`).
            step: Steps done.
            total: Steps in all.
        """

    def on_problem(self, message: str) -> None:
        """Something failed; the suite goes on."""


@dataclass(frozen=True)
class Outcome:
    """How a cell ended.

    Attributes:
        cell: The cell.
        folder: Folder of its files.
        status: `finished` now, `kept` from an earlier call, or `failed`.
        error: One line, for failed cells.
        defect: Whether the failure is clbench's fault rather than something that the user can mend.
        taken: Number of versions after version 0 that were in the store and were not computed.
    """

    cell: Cell
    folder: CellFolder
    status: str
    error: str = ""
    defect: bool = False
    taken: int = 0


@dataclass(frozen=True)
class SuiteResult:
    """How a suite ended.

    Attributes:
        outcomes: One for each cell, in the suite's order.
        unlogged: What the tracking store did not take, one line each; it is on disk, and the next call logs it.
        experiment: Id of the experiment of the runs in the store.
    """

    outcomes: Sequence[Outcome]
    unlogged: Sequence[str]
    experiment: str


@dataclass(frozen=True)
class RunOptions:
    """How a suite runs.

    Attributes:
        out: Folder for results.
        device: Device of the learners.
        tracking_uri: The MLflow store.
        fresh: Whether finished cells are computed again.
        probe: Tasks of lm-evaluation-harness on which models are measured besides the tasks of the stream.
        keep: Versions that keep their weights.
    """

    out: Path
    device: torch.device
    tracking_uri: str
    fresh: bool = False
    probe: HarnessProbe | None = None
    keep: Keep = "branches"


def choose_device(name: str) -> torch.device:
    """`auto` takes a GPU where there is one.

    Raises:
        ConfigError: When `cuda` is wanted and not there.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"--device must be auto, cpu or cuda, got {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: no CUDA device is available")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def run_suite(suite: Suite, options: RunOptions, listener: Listener) -> SuiteResult:
    """Run all cells of a suite; those that are finished are left alone, those that were cut off go on.

    A cell that fails is recorded and the others go on. If the tracking store stops answering or refuses something on
    the way, the cells still run to the end and stay on disk.

    Args:
        suite: The suite.
        options: Folder, device, tracking store and what becomes of earlier results.
        listener: Called as the cells go on.

    Returns:
        How the cells ended, in the suite's order.

    Raises:
        ConfigError: When another process runs this suite in the same folder.
        ClbenchError: When the folder is not writable.
        TrackingError: When the tracking store does not answer at the start.
    """
    _make_deterministic()
    folder = options.out / suite.name
    with _alone(folder):
        earlier = ResultBackup(folder)
        earlier.commit_or_restore()
        tracker = Tracker(options.tracking_uri, options.out, suite.name, folder, describe())
        workplace = workplace_in(options.out, options.device, options.fresh, options.keep)
        outcomes = []
        try:
            for index, cell in enumerate(suite.cells):
                with earlier.hold(cell.key) if options.fresh else nullcontext():
                    where = CellFolder(folder / cell.key)
                    outcome = _CellRunner(cell, where, workplace, tracker, listener, options.probe).run(index)
                outcomes.append(_with_earlier(outcome) if options.fresh else outcome)
        except KeyboardInterrupt:
            BestEffort(listener.on_problem).attempt(tracker.interrupt)
            raise
        sound = [(outcome.cell, outcome.folder) for outcome in outcomes if outcome.status != "failed"]
        unlogged = catch_up(tracker, sound, failed=len(sound) < len(outcomes))
        return SuiteResult(outcomes, unlogged, tracker.experiment)


def _with_earlier(outcome: Outcome) -> Outcome:
    """Say so where the earlier result outlived a new run that failed."""
    if outcome.status != "failed" or not outcome.folder.finished:
        return outcome
    return replace(outcome, error=f"{outcome.error} (the earlier result was kept)")


@dataclass(frozen=True)
class _CellRunner:
    """Runs one cell and records how it ended; an error of the cell never leaves `run`."""

    cell: Cell
    folder: CellFolder
    workplace: Workplace
    tracker: Tracker
    listener: Listener
    probe: HarnessProbe | None

    def run(self, index: int) -> Outcome:
        """Run the cell, or find that it is finished."""
        try:
            if self.folder.finished:
                self.folder.verify()
                if self.probe and self.folder.probes.missing(self.probe.asked, self.folder.last_version or 0):
                    self._cell_run().probe()
                return Outcome(self.cell, self.folder, "kept")
            return Outcome(self.cell, self.folder, "finished", taken=self._compute(index))
        except Exception as error:  # the cell boundary: whatever happens in a cell must not take the others with it
            return self._failed(error)

    def _cell_run(self) -> CellRun:
        return CellRun(self.cell, self.folder, self.workplace, self.listener.on_step, self.probe)

    def _compute(self, index: int) -> int:
        """Compute the cell; returns the number of versions that were there already."""
        run = self._cell_run()
        self.listener.on_cell_start(index, self.cell, run.stream.last_version + 1)
        logging = BestEffort(self.listener.on_problem)
        logging.attempt(lambda: self.tracker.begin(self.cell, self.folder))

        def after_version(version: int) -> None:
            self.listener.on_version_end(version)
            logging.attempt(lambda: self.tracker.log_versions(self.cell, self.folder))

        run.run(after_version)
        run.probe()
        logging.attempt(lambda: self.tracker.finish(self.cell, self.folder))
        return run.taken

    def _failed(self, error: Exception) -> Outcome:
        message = " ".join(str(error).split()) or type(error).__name__
        defect = not isinstance(error, ClbenchError)
        if defect:
            message = f"{type(error).__name__}: {message}"
        self.listener.on_problem(f"{self.cell.title}: {message}")
        if not self.folder.finished:  # a finished cell with a damaged file stays as it is, here and in MLflow
            with suppress(ClbenchError):  # the disk may be full, which may be why it failed
                self.folder.fail(message, "".join(traceback.format_exception(error)))
            logging = BestEffort(self.listener.on_problem)
            logging.attempt(lambda: self.tracker.fail(self.cell, self.folder, message))
        return Outcome(self.cell, self.folder, "failed", message, defect)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the suite's folder; the lock goes with the process, however it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / ".lock").open("w")
    except OSError as error:
        raise ClbenchError(f"{folder}: cannot be written: {error.strerror}") from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"{folder}: another process runs this suite here; wait for it or choose another --out"
            ) from None
        yield


def _make_deterministic() -> None:
    """Same seed, same bits, on the same machine."""
    import os

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    # A debugging aid that costs time; torch makes it a property of the module, which types cannot see.
    setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010
    torch.backends.cudnn.benchmark = False
