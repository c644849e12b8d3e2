"""Progress bars for suite, task and step, on standard error."""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column

from clbench.benchmarks.engine.cell import Cell

NUMBERS = (MofNCompleteColumn, TimeElapsedColumn, TimeRemainingColumn)


class Bars:
    """Three bars: cells of the suite, versions of the cell, steps of the version. The runner's `Listener`.

    Where the output is no terminal, one line a cell is printed instead.
    """

    def __init__(self, cells: int) -> None:
        self._console = Console(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True)
        columns = (  # where the terminal is narrow, titles go on in another line and numbers stay whole
            TextColumn("{task.description}", markup=False, table_column=Column(overflow="fold")),
            BarColumn(max(10, min(40, self._console.width // 5))),
            *(column(table_column=Column(no_wrap=True)) for column in NUMBERS),
        )
        self._progress = Progress(
            *columns, console=self._console, disable=not self._console.is_terminal, refresh_per_second=4
        )
        self._suite = self._progress.add_task("suite", total=cells)
        self._cell = self._progress.add_task("cell", total=None)
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
        """A cell begins."""
        self._progress.update(self._suite, completed=index)
        self._progress.reset(self._cell, total=versions, description=cell.title)
        if not self._console.is_terminal:
            self._console.print(f"[{index + 1}/{self._cells}] {cell.title}")

    def on_version_end(self, version: int) -> None:
        """A version is done."""
        self._progress.update(self._cell, completed=version + 1)

    def on_step(self, doing: str, step: int, total: int) -> None:
        """Work inside a version goes on."""
        if step <= 1:
            self._progress.reset(self._step, total=total, description=doing)
        self._progress.update(self._step, completed=step)

    def on_problem(self, message: str) -> None:
        """Something failed; it must be seen above the bars."""
        self._console.print(f"problem: {message}")
