"""The runner: all cells of a suite, one after another; it alone owns order, failure and the outside world."""

import fcntl
import shutil
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol as Interface

import torch

from clbench.benchmarks.cell import Cell
from clbench.benchmarks.environment import describe
from clbench.benchmarks.execution import CellRun
from clbench.benchmarks.folder import CellFolder
from clbench.benchmarks.samples import SampleStore
from clbench.benchmarks.suite import Suite
from clbench.benchmarks.tracking.tracker import Tracker
from clbench.errors import ClbenchError, ConfigError, TrackingError


class Listener(Interface):
    """Who wants to know how a suite is going (the command line's progress bars)."""

    def cell(self, index: int, cell: Cell, versions: int) -> None:
        """A cell begins; it has so many versions."""

    def version(self, version: int) -> None:
        """A version of the cell is done."""

    def step(self, doing: str, step: int, total: int) -> None:
        """Work inside a version goes on."""

    def problem(self, message: str) -> None:
        """Something failed; the suite goes on."""


@dataclass(frozen=True)
class Outcome:
    """How a cell ended.

    Attributes:
        cell: Which.
        folder: Where its files are.
        status: `finished` now, `kept` from an earlier call, or `failed`.
        error: One line, for failed cells.
        defect: Whether the failure is clbench's fault rather than something that the user can mend.
    """

    cell: Cell
    folder: CellFolder
    status: str
    error: str = ""
    defect: bool = False


@dataclass(frozen=True)
class RunOptions:
    """Where a suite runs and what becomes of earlier results."""

    out: Path
    device: torch.device
    tracking_uri: str
    fresh: bool = False


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


def run_suite(suite: Suite, options: RunOptions, listener: Listener) -> list[Outcome]:
    """Run all cells of a suite; those that are finished are left alone, those that were cut off go on.

    A cell that fails is recorded and the others go on. If the tracking store stops answering on the way, the cells
    still run to the end and stay on disk.

    Returns:
        One outcome a cell, in the suite's order.

    Raises:
        ConfigError: When another process runs this suite in the same folder.
        TrackingError: When the tracking store does not answer at the start, or did not take everything at the end.
    """
    _make_deterministic()
    folder = options.out / suite.name
    with _alone(folder):
        tracker = Tracker(options.tracking_uri, options.out, suite.name, folder, describe())
        if options.fresh:  # not before the store has answered
            for cell in suite.cells:
                shutil.rmtree(folder / cell.key, ignore_errors=True)
        store = SampleStore(options.device, options.out / "cache")
        try:
            outcomes = [
                _run_cell(cell, CellFolder(folder / cell.key), store, options.device, tracker, listener, index)
                for index, cell in enumerate(suite.cells)
            ]
        except KeyboardInterrupt:
            _Logged(tracker, listener).attempt(tracker.interrupt)
            raise
        _catch_up(outcomes, tracker)
    return outcomes


def _run_cell(
    cell: Cell,
    folder: CellFolder,
    store: SampleStore,
    device: torch.device,
    tracker: Tracker,
    listener: Listener,
    index: int,
) -> Outcome:
    try:
        if folder.finished:
            return Outcome(cell, folder, "kept")
        run = CellRun(cell, folder, store, device, listener.step)
        listener.cell(index, cell, len(run.stream.tasks) + 1)
        logged = _Logged(tracker, listener)
        logged.attempt(lambda: tracker.begin(cell, folder))

        def after_version(version: int) -> None:
            listener.version(version)
            logged.attempt(lambda: tracker.version(cell, folder, run.stream))

        run.run(after_version)
        logged.attempt(lambda: tracker.finish(cell, folder, run.stream))
        return Outcome(cell, folder, "finished")
    except Exception as error:  # the cell boundary: whatever happens in a cell must not take the others with it
        message = " ".join(str(error).split()) or type(error).__name__
        defect = not isinstance(error, ClbenchError)
        if defect:
            message = f"{type(error).__name__}: {message}"
        folder.fail(message, traceback.format_exc())
        listener.problem(f"{cell.title}: {message}")
        _Logged(tracker, listener).attempt(lambda: tracker.fail(cell, folder, message))
        return Outcome(cell, folder, "failed", message, defect)


class _Logged:
    """Calls to the tracking store that must not stop the work: after a failure it is left alone for the cell."""

    def __init__(self, tracker: Tracker, listener: Listener) -> None:
        self._listener = listener
        self._answers = True

    def attempt(self, call: "Call") -> None:
        """Make the call, unless an earlier one failed."""
        if self._answers:
            try:
                call()
            except TrackingError as error:
                self._answers = False
                self._listener.problem(f"{error} (the results stay on disk)")


class Call(Interface):
    """A call without arguments."""

    def __call__(self) -> None:
        """Make it."""


def _catch_up(outcomes: Sequence[Outcome], tracker: Tracker) -> None:
    """Log what earlier calls or a store that was away have left out."""
    for outcome in outcomes:
        if outcome.status != "failed":
            tracker.finish(outcome.cell, outcome.folder, outcome.cell.load_stream())
    tracker.close(failed=any(outcome.status == "failed" for outcome in outcomes))


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
