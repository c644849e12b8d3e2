"""The cells of a search: which one comes next depends on how the earlier ones ended."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import overload

from clbench.benchmarks.engine.cell import Cell
from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.benchmarks.tuning.criterion import Criterion
from clbench.benchmarks.tuning.grid import Point, Variant
from clbench.benchmarks.tuning.points import Points
from clbench.core.errors import ClbenchError, MetricError, TrainingError
from clbench.core.storage import read_json
from clbench.reports.result import FILE


@dataclass(frozen=True)
class Trial:
    """One trial and how it ended.

    Attributes:
        variant: The strategy with its grid.
        point: Position in the grid.
        cells: One for each seed.
        value: The criterion, mean over the seeds; None where it is missing.
        error: Why the value is missing.
        diverged: Whether the settings are the reason, so that the trial counts as the worst: training diverged, or gave
            a model for which the criterion is not defined. After any other error the trial is repeated.
    """

    variant: Variant
    point: Point
    cells: Sequence[Cell]
    value: float | None = None
    error: str = ""
    diverged: bool = False


class Trials(Sequence[Cell]):
    """The cells of all trials, in order; a cell is there when those before it have ended, on disk.

    A trial that has diverged in an earlier call is not tried again, so there may be fewer than `len` says.

    Args:
        variants: The strategies with their grids.
        number: Most trials of each variant.
        criterion: The number that decides.
        folder: Folder of the cells.
        fresh: Whether diverged trials are tried again.
    """

    def __init__(
        self, variants: Sequence[Variant], number: int, criterion: Criterion, folder: Path, fresh: bool = False
    ) -> None:
        self._plan = [(variant, Points(variant, number, variant.cells[0].seed)) for variant in variants]
        self._criterion = criterion
        self.folder = folder
        self._fresh = fresh
        self._known: list[Cell] = []
        self._coming = self._run()
        self.done: list[Trial] = []
        """The trials that have ended."""

    def __len__(self) -> int:
        """Largest possible number of cells."""
        return sum(points.number * len(variant.cells) for variant, points in self._plan)

    @property
    def planned(self) -> int:
        """Number of trials at the end."""
        return sum(points.number for _, points in self._plan)

    @overload
    def __getitem__(self, index: int) -> Cell: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Cell]: ...

    def __getitem__(self, index: int | slice) -> Cell | Sequence[Cell]:
        """The cell at a place, once those before it have ended."""
        if isinstance(index, slice) or index < 0:
            return list(self)[index]
        while len(self._known) <= index and (cell := next(self._coming, None)) is not None:
            self._known.append(cell)
        return self._known[index]  # an IndexError past the last one, which ends a loop over a sequence

    def folder_of(self, cell: Cell) -> CellFolder:
        """Folder of a cell."""
        return CellFolder(self.folder / cell.key)

    def diverged(self, cell: Cell) -> bool:
        """Whether a cell failed in training, by its folder; other failures do not depend on the settings."""
        try:
            found = read_json(self.folder_of(cell).path / FILE)
        except ClbenchError:
            return False
        last = str(found.get("traceback", "")).rstrip().rpartition("\n")[2]
        return found.get("status") == "failed" and last.startswith(f"{TrainingError.__module__}.TrainingError: ")

    def _run(self) -> Iterator[Cell]:
        for variant, points in self._plan:
            for _ in range(points.number):
                point = points.ask()
                cells = variant.cells_at(point)
                for cell in cells:
                    if self._fresh or not self.diverged(cell):
                        yield cell
                    if self.diverged(cell):
                        break  # the other seeds cannot mend it
                trial = self._outcome(Trial(variant, point, cells))
                self.done.append(trial)
                points.tell(self._criterion.loss(trial.value))

    def _outcome(self, trial: Trial) -> Trial:
        """The trial with its value or error, read from the folders of its cells."""
        try:
            if all(self.folder_of(cell).finished for cell in trial.cells):
                found = [self.folder_of(cell).result(cell.load_stream()) for cell in trial.cells]
                return replace(trial, value=fmean(map(self._criterion.value, found)))
            ended = next(cell for cell in trial.cells if not self.folder_of(cell).finished)
            error = str(read_json(self.folder_of(ended).path / FILE).get("error"))
            return replace(trial, error=error, diverged=self.diverged(ended))
        except MetricError as error:
            return replace(trial, error=str(error), diverged=True)
        except ClbenchError as error:  # a damaged file, which the runner has told of; the search goes on
            return replace(trial, error=str(error))
