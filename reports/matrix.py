"""The accuracy matrix R: what every version of a model scored on every task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, final

import numpy as np
import numpy.typing as npt

from clbench.errors import DataError, MetricError
from clbench.reports.matrix_csv import format_matrix, parse_matrix
from clbench.storage import written_whole

Scores = npt.NDArray[np.float64]


@final
@dataclass(frozen=True, eq=False)
class ScoreMatrix:
    """R[t][i], the score of version t on task i, NaN where it was not measured.

    Args:
        tasks: The T tasks in training order.
        scores: Shape (T + 1, T); row t is version t, row 0 the pre-trained model. Copied, then read-only.

    Raises:
        DataError: For no tasks, a task named twice or not at all, the wrong shape, or an infinite score.
    """

    tasks: tuple[str, ...]
    scores: Scores

    def __post_init__(self) -> None:
        """Check the shape and make the scores read-only."""
        tasks = tuple(self.tasks)
        scores = np.array(self.scores, dtype=np.float64)
        if not tasks or not all(task and task == task.strip() for task in tasks):  # CSV does not keep the spaces
            raise DataError(f"score matrix: wanted at least one task, names without spaces around them, got {tasks}")
        if len(set(tasks)) < len(tasks):
            raise DataError(f"score matrix: wanted distinct names of tasks, got {', '.join(tasks)}")
        if scores.shape != (len(tasks) + 1, len(tasks)):
            raise DataError(f"score matrix: wanted {len(tasks) + 1} versions x {len(tasks)} tasks, got {scores.shape}")
        if np.isinf(scores).any():
            raise DataError("score matrix: wanted finite scores (NaN where not measured), got an infinite one")
        scores.flags.writeable = False
        object.__setattr__(self, "tasks", tasks)
        object.__setattr__(self, "scores", scores)

    def __eq__(self, other: object) -> bool:
        """Same tasks, same scores; unmeasured cells are equal to each other."""
        if not isinstance(other, ScoreMatrix):
            return NotImplemented
        return self.tasks == other.tasks and np.array_equal(self.scores, other.scores, equal_nan=True)

    def __hash__(self) -> int:
        """By the tasks alone, which equal matrices share."""
        return hash(self.tasks)

    @property
    def number_of_tasks(self) -> int:
        """T, which is also the number of the last version."""
        return len(self.tasks)

    def at(self, version: int, task: int) -> float:
        """R[version][task] with tasks counted from 1, as the formulas do.

        Raises:
            MetricError: When the cell was not measured.
        """
        return float(self.cells(version, task))

    def cells(self, versions: npt.ArrayLike, tasks: npt.ArrayLike) -> Scores:
        """R[versions][tasks], broadcast against each other, tasks counted from 1; all of them must have been measured.

        Raises:
            MetricError: Naming the first cell that was not measured.
            IndexError: For a version or task that the matrix does not have, a defect of the formula.
        """
        rows, columns = np.broadcast_arrays(np.asarray(versions, dtype=int), np.asarray(tasks, dtype=int))
        if rows.size and (rows.min() < 0 or columns.min() < 1):  # numpy would count these from the end
            raise IndexError(f"versions start at 0 and tasks at 1, got {rows.min()} and {columns.min()}")
        values: Scores = np.asarray(self.scores[rows, columns - 1])
        missing = np.argwhere(np.isnan(values))
        if len(missing):
            first = tuple(missing[0])
            more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            task = self.tasks[columns[first] - 1]
            raise MetricError(f"version {rows[first]}, task {task!r} was not measured{more}")
        return values

    def require_two_tasks(self, why: str) -> None:
        """Refuse a stream of one task, on which a metric of change between tasks means nothing.

        Raises:
            MetricError: With a single task.
        """
        if self.number_of_tasks < 2:
            raise MetricError(f"needs at least 2 tasks, got 1: {why}")

    @classmethod
    def from_rows(cls, tasks: Sequence[str], rows: Mapping[int, Sequence[float]]) -> Self:
        """A matrix from the rows of the versions that were measured; the others are NaN.

        Raises:
            DataError: For a version outside 0..T or a row with the wrong number of scores.
        """
        scores = np.full((len(tasks) + 1, len(tasks)), np.nan)
        for version, row in rows.items():
            if not 0 <= version <= len(tasks):
                raise DataError(f"score matrix: version must be from 0 to {len(tasks)}, got {version}")
            if len(row) != len(tasks):
                raise DataError(f"score matrix, version {version}: wanted {len(tasks)} scores, got {len(row)}")
            scores[version] = row
        return cls(tuple(tasks), scores)

    @classmethod
    def from_csv(cls, path: Path | str) -> Self:
        """Read a matrix: header `version,<task>,...`, then a row a version; cells and rows may be left out.

        Raises:
            DataError: When the file is missing or malformed, with file, row and column.
        """
        return cls.from_rows(*parse_matrix(Path(path)))

    def to_csv(self, path: Path | str | None = None) -> str:
        """The text that `from_csv` reads back bit for bit; also written to `path`, whole or not at all.

        Raises:
            ClbenchError: When the disk is full or not writable.
        """
        text = format_matrix(self.tasks, self.scores.tolist())
        if path is not None:
            with written_whole(Path(path)) as aside:
                aside.write_text(text, encoding="utf-8", newline="")
        return text
