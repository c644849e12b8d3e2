"""The accuracy matrix R: what every version of a model scored on every task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, final

import numpy as np
import numpy.typing as npt

from clbench.core.errors import DataError, MetricError
from clbench.core.storage import written_whole
from clbench.reports.matrix_csv import format_matrix, parse_matrix

Scores = npt.NDArray[np.float64]


@final
@dataclass(frozen=True, eq=False)
class ScoreMatrix:
    """R[t][i], the score of version t on task i, NaN where it was not measured.

    Args:
        tasks: The T tasks in training order.
        scores: Shape (T + 1, T); row t is version t, row 0 the pre-trained model. Copied, then read-only.
        releases: Names of the releases of a stream of model updates; version i is made of the i-th release, the shape
            is (releases + 1, T), and no version learnt a single task.

    Raises:
        DataError: For no tasks, a task named twice or not at all, the wrong shape, or an infinite score.
    """

    tasks: tuple[str, ...]
    scores: Scores
    releases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the shape and make the scores read-only."""
        tasks = tuple(self.tasks)
        scores = np.array(self.scores, dtype=np.float64)
        if not tasks or not all(task and task == task.strip() for task in tasks):  # CSV does not keep the spaces
            raise DataError(f"score matrix: wanted at least one task, names without spaces around them, got {tasks}")
        if len(set(tasks)) < len(tasks):
            raise DataError(f"score matrix: wanted distinct names of tasks, got {', '.join(tasks)}")
        versions = (len(self.releases) or len(tasks)) + 1
        if scores.shape != (versions, len(tasks)):
            raise DataError(f"score matrix: wanted {versions} versions x {len(tasks)} tasks, got {scores.shape}")
        if np.isinf(scores).any():
            raise DataError("score matrix: wanted finite scores (NaN where not measured), got an infinite one")
        scores.flags.writeable = False
        object.__setattr__(self, "tasks", tasks)
        object.__setattr__(self, "scores", scores)

    def __eq__(self, other: object) -> bool:
        """Same tasks, same scores; unmeasured cells are equal to each other."""
        if not isinstance(other, ScoreMatrix):
            return NotImplemented
        same = (self.tasks, self.releases) == (other.tasks, other.releases)
        return same and np.array_equal(self.scores, other.scores, equal_nan=True)

    def __hash__(self) -> int:
        """By the tasks alone, which equal matrices share."""
        return hash(self.tasks)

    @property
    def number_of_tasks(self) -> int:
        """T, which is also the number of the last version, unless versions are releases."""
        return len(self.tasks)

    @property
    def made_of(self) -> tuple[str, ...]:
        """Names of the tasks or releases from which versions 1, 2, ... were made."""
        return self.releases or self.tasks

    def last_scores(self) -> Scores:
        """The scores of the last version on all tasks, shape (T,); defined for tasks and for releases.

        Raises:
            MetricError: When the last version was not tested on every task.
        """
        return self._measured(len(self.made_of), np.arange(1, self.number_of_tasks + 1))

    def at(self, version: int, task: int) -> float:
        """R[version][task] with tasks counted from 1, as the formulas do.

        Raises:
            MetricError: When the cell was not measured.
        """
        return float(self.cells(version, task))

    def cells(self, versions: npt.ArrayLike, tasks: npt.ArrayLike) -> Scores:
        """R[versions][tasks], broadcast against each other, tasks counted from 1; all of them must have been measured.

        Raises:
            MetricError: For a cell that was not measured, naming the first; always where versions are releases, because
                formulas that index cells suppose that version i learnt task i.
            IndexError: For a version or task that the matrix does not have, a defect of the formula.
        """
        if self.releases:
            raise MetricError("versions are releases of the model here, and none of them learnt one of the tasks")
        return self._measured(versions, tasks)

    def _measured(self, versions: npt.ArrayLike, tasks: npt.ArrayLike) -> Scores:
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
        """Refuse a stream of one task, on which a metric of change between tasks is not defined.

        Raises:
            MetricError: With a single task.
        """
        if self.number_of_tasks < 2:
            raise MetricError(f"needs at least 2 tasks, got 1: {why}")

    @classmethod
    def from_rows(
        cls, tasks: Sequence[str], rows: Mapping[int, Sequence[float]], releases: tuple[str, ...] = ()
    ) -> Self:
        """A matrix from the rows of the versions that were measured; the others are NaN.

        Args:
            tasks: Names of the tasks in training order.
            rows: Scores on every task by version.
            releases: Names of the releases, where versions are releases.

        Raises:
            DataError: For a version that there cannot be or a row with the wrong number of scores.
        """
        last = len(releases) or len(tasks)
        scores = np.full((last + 1, len(tasks)), np.nan)
        for version, row in rows.items():
            if not 0 <= version <= last:
                raise DataError(f"score matrix: version must be from 0 to {last}, got {version}")
            if len(row) != len(tasks):
                raise DataError(f"score matrix, version {version}: wanted {len(tasks)} scores, got {len(row)}")
            scores[version] = row
        return cls(tuple(tasks), scores, releases)

    @classmethod
    def from_csv(cls, path: Path | str) -> Self:
        """Read a matrix: header `version,<task>,...`, then a row a version; cells and rows may be left out.

        Raises:
            DataError: When the file is missing or malformed, with file, row and column.
        """
        return cls.from_rows(*parse_matrix(Path(path)))

    def to_csv(self, path: Path | str | None = None) -> str:
        """The text that `from_csv` reads back bit for bit; also written to `path`, whole or not at all.

        Where versions are releases the first column is `release`, which `from_csv` refuses: most metrics are undefined.

        Raises:
            ClbenchError: When the disk is full or not writable.
        """
        text = format_matrix(self.tasks, self.scores.tolist(), "release" if self.releases else "version")
        if path is not None:
            with written_whole(Path(path)) as aside:
                aside.write_text(text, encoding="utf-8", newline="")
        return text
