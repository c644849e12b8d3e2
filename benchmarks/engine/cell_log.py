"""What is told of a cell while it runs: to an observer such as the progress bars, and to the tracking store."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from typing import Protocol as Interface

from clbench.benchmarks.engine.cell import Cell
from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.benchmarks.tracking.best_effort import BestEffort
from clbench.benchmarks.tracking.tracker import Tracker
from clbench.core.errors import ClbenchError


class Listener(Interface):
    """An observer of a running suite, such as the progress bars of the command line."""

    def on_cell_start(self, index: int, cell: Cell, versions: int) -> None:
        """A cell begins.

        Args:
            index: Place of the cell in the suite, from 0.
            cell: The cell.
            versions: Number of its versions, version 0 included.
        """

    def on_version_end(self, index: int, version: int) -> None:
        """A version of the cell at a place is trained, tested and saved."""

    def on_cell_end(self, index: int) -> None:
        """The cell at a place has ended, in any way."""

    def on_step(self, index: int, doing: str, step: int, total: int) -> None:
        """Work on a version goes on.

        Args:
            index: Place of the cell in the suite, from 0.
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
class CellLog:
    """Tells observer and tracking store how one cell goes on; what the store does not take is logged later.

    Attributes:
        index: Place of the cell in the suite, from 0.
        cell: The cell.
        folder: Its folder.
        tracker: The tracking store.
        listener: The observer.
    """

    index: int
    cell: Cell
    folder: CellFolder
    tracker: Tracker
    listener: Listener

    def kept(self) -> Outcome | None:
        """The outcome of a cell that an earlier call has finished; None for others.

        Raises:
            CheckpointError: When a file of the finished cell is missing or damaged.
        """
        if not self.folder.finished:
            return None
        self.folder.verify()
        return Outcome(self.cell, self.folder, "kept")

    def start(self, versions: int) -> None:
        """The cell begins; `versions` counts version 0."""
        self.listener.on_cell_start(self.index, self.cell, versions)
        self._logging.attempt(lambda: self.tracker.begin(self.cell, self.folder))

    def version(self, version: int) -> None:
        """A version is safe on disk."""
        self.listener.on_version_end(self.index, version)
        self._logging.attempt(lambda: self.tracker.log_versions(self.cell, self.folder))

    def step(self, doing: str, step: int, total: int) -> None:
        """Work on a version goes on.

        Args:
            doing: Kind of work.
            step: Steps done.
            total: Steps in all.
        """
        self.listener.on_step(self.index, doing, step, total)

    def finish(self, taken: int) -> Outcome:
        """The cell is finished; `taken` versions were in the store."""
        self._logging.attempt(lambda: self.tracker.finish(self.cell, self.folder))
        return Outcome(self.cell, self.folder, "finished", taken=taken)

    def fail(self, message: str, trace: str, defect: bool) -> Outcome:
        """The cell has failed.

        Args:
            message: Why, in one line.
            trace: The traceback.
            defect: Whether it is clbench's fault rather than something that the user can mend.
        """
        self.listener.on_problem(f"{self.cell.title}: {message}")
        if not self.folder.finished:  # a finished cell with a damaged file stays as it is, here and in MLflow
            with suppress(ClbenchError):  # the disk may be full, which may be why it failed
                self.folder.fail(message, trace)
            self._logging.attempt(lambda: self.tracker.fail(self.cell, self.folder, message))
        return Outcome(self.cell, self.folder, "failed", message, defect)

    def end(self) -> None:
        """The cell has ended, in any way."""
        self.listener.on_cell_end(self.index)

    def told(self, event: Mapping[str, Any]) -> Outcome | None:
        """Pass on what a worker says (see `worker.py`); the outcome if the cell has ended."""
        match event["event"]:
            case "start":
                self.start(event["versions"])
            case "version":
                self.version(event["version"])
            case "step":
                self.step(event["doing"], event["step"], event["total"])
            case "end":
                return self.finish(event["taken"])
            case "failed":
                return self.fail(event["error"], event["traceback"], event["defect"])
        return None

    @cached_property
    def _logging(self) -> BestEffort:
        """One for the whole cell: what is wrong with the store is said once."""
        return BestEffort(self.listener.on_problem)
