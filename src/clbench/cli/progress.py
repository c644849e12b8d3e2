"""Progress bars for suite, task and step, on standard error."""

from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from clbench.benchmarks.engine.cell import Cell

NUMBERS = (MofNCompleteColumn, TimeElapsedColumn, TimeRemainingColumn)


class Bars:
    """The runner's `Listener`: bars for cells of the suite, steps of a version, and versions of each running cell.

    If standard error is not a terminal, a line is printed for each cell instead.
    """

    def __init__(self, cells: int) -> None:
        self._console = Console(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True)
        columns = (  # in a narrow terminal titles are broken into lines and numbers stay whole
            TextColumn("{task.description}", markup=False, table_column=Column(overflow="fold")),
            BarColumn(max(10, min(40, self._console.width // 5))),
            *(column(table_column=Column(no_wrap=True)) for column in NUMBERS),
        )
        self._progress = Progress(
            *columns, console=self._console, disable=not self._console.is_terminal, refresh_per_second=4
        )
        self._suite = self._progress.add_task("suite", total=cells)
        self._running: dict[int, TaskID] = {}
        """Bars of the cells that run, by their numbers."""
        self._step = self._progress.add_task("step", total=None)
        self._cells = cells

    def __enter__(self) -> "Bars":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._progress.update(self._suite, completed=self._cells)
        self._progress.stop()

    def on_cell_start(self, index: int, cell: Cell, versions: int) -> None:
        """Show that a cell begins.

        Args:
            index: Number of the cell, from 0.
            cell: The cell.
            versions: Number of its versions.
        """
        self._running[index] = self._progress.add_task(cell.title, total=versions)
        self._progress.remove_task(self._step)  # its bar stays the last one
        self._step = self._progress.add_task("step", total=None)
        if not self._console.is_terminal:
            self._console.print(f"[{index + 1}/{self._cells}] {cell.title}")

    def on_version_end(self, index: int, version: int) -> None:
        """Show that a version is done."""
        self._progress.update(self._running[index], completed=version + 1)

    def on_cell_end(self, index: int) -> None:
        """Show that a cell is done."""
        self._progress.advance(self._suite)
        if index in self._running:
            self._progress.remove_task(self._running.pop(index))

    def on_step(self, index: int, doing: str, step: int, total: int) -> None:
        """Show progress within a version, while one cell runs.

        Args:
            index: Number of the cell, from 0.
            doing: What is done, such as `train`.
            step: Number of the step, from 1.
            total: Number of steps.
        """
        if len(self._running) > 1:
            return
        if step <= 1:
            self._progress.reset(self._step, total=total, description=doing)
        self._progress.update(self._step, completed=step)

    def refresh(self) -> None:
        """Draw the bars now; else they are drawn four times a second."""
        self._progress.refresh()

    def on_problem(self, message: str) -> None:
        """Print a problem above the bars."""
        self._console.print(f"problem: {message}")
