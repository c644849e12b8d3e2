"""The accuracy matrix R: what every version of a model scored on every task."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self, final

import numpy as np
import numpy.typing as npt

from clbench.core.errors import ConfigError, DataError, MetricError
from clbench.core.storage import written_whole
from clbench.reports.forgotten import whole_tasks
from clbench.reports.matrix_csv import format_matrix, parse_matrix
from clbench.reports.paths import forgotten_on, learn_chain, learnt_at
from clbench.spec.update import Adopt, Update, learns_only, parents_of, path_to

Scores = npt.NDArray[np.float64]


@final
@dataclass(frozen=True, eq=False)
class ScoreMatrix:
    """R[t][i], the score of version t on task i, NaN where it was not measured.

    Args:
        tasks: The T tasks in the order of the stream.
        scores: Shape (U + 1, T) with U updates; row t is version t, row 0 the pre-trained model. Copied, then
            read-only.
        updates: Updates 1 to U; update t makes version t from its parent. Empty means that the tasks are learnt one
            after another.
        numbers: Numbers of the versions in the stream, for messages; empty means 0, 1, ... They differ for a path
            through a graph with branches.

    Attributes:
        parents: Numbers of the versions from which versions 1, 2, ... were made.

    Raises:
        DataError: For no tasks, a task named twice or not at all, the wrong shape, an infinite score, or updates that
            are no graph of versions.
    """

    tasks: tuple[str, ...]
    scores: Scores
    updates: tuple[Update, ...] = ()
    numbers: tuple[int, ...] = ()
    parents: tuple[int, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the shape and make the scores read-only."""
        tasks = tuple(self.tasks)
        scores = np.array(self.scores, dtype=np.float64)
        if not tasks or not all(task and task == task.strip() for task in tasks):  # CSV does not keep the spaces
            raise DataError(f"score matrix: wanted at least one task, names without spaces around them, got {tasks}")
        if len(set(tasks)) < len(tasks):
            raise DataError(f"score matrix: wanted distinct names of tasks, got {', '.join(tasks)}")
        updates = tuple(self.updates) or learn_chain(tasks)
        versions = len(updates) + 1
        if scores.shape != (versions, len(tasks)):
            raise DataError(f"score matrix: wanted {versions} versions x {len(tasks)} tasks, got {scores.shape}")
        if np.isinf(scores).any():
            raise DataError("score matrix: wanted finite scores (NaN where not measured), got an infinite one")
        scores.flags.writeable = False
        object.__setattr__(self, "tasks", tasks)
        object.__setattr__(self, "scores", scores)
        object.__setattr__(self, "updates", updates)
        object.__setattr__(self, "numbers", tuple(self.numbers) or tuple(range(versions)))
        try:
            object.__setattr__(self, "parents", parents_of(updates, "score matrix"))
        except ConfigError as error:
            raise DataError(str(error)) from None

    def __eq__(self, other: object) -> bool:
        """Same tasks, updates and scores; unmeasured cells are equal to each other."""
        if not isinstance(other, ScoreMatrix):
            return NotImplemented
        same = (self.tasks, self.updates) == (other.tasks, other.updates)
        return same and np.array_equal(self.scores, other.scores, equal_nan=True)

    def __hash__(self) -> int:
        """By the tasks alone, which equal matrices share."""
        return hash(self.tasks)

    @property
    def number_of_tasks(self) -> int:
        """T, which is also the number of the last version where the tasks are learnt one after another."""
        return len(self.tasks)

    @property
    def last(self) -> int:
        """Number of the last version, which is the number of updates."""
        return len(self.updates)

    @property
    def made_of(self) -> tuple[str, ...]:
        """Labels of the updates that made versions 1, 2, ...: of tasks, releases, budgets."""
        return tuple(update.label for update in self.updates)

    @property
    def rows_are(self) -> Literal["version", "release", "update"]:
        """What a row stands for: `version` t learnt task t, for all t; one `release` after another; any `update`."""
        if learns_only(self.updates, self.parents, self.tasks):
            return "version"
        chain = self.parents == tuple(range(self.last))
        return "release" if chain and all(isinstance(update, Adopt) for update in self.updates) else "update"

    def path(self, version: int | None = None) -> tuple[int, ...]:
        """The versions that lead from version 0 to a version, both included; to the last one if none is given."""
        return path_to(self.last if version is None else version, self.parents)

    def learnt_at(self, version: int | None = None) -> dict[str, int]:
        """The number of the version that learnt each task first, in the order of learning.

        Only versions on the path to `version` (the last one if none is given) and updates of kind `learn` count.
        """
        found = learnt_at(self.updates, self.path(version))
        return {task: number for task, number in found.items() if task in self.tasks}

    def counted_tasks(self, version: int) -> tuple[str, ...]:
        """Tasks over which the metrics of a version are computed: those learnt on its path, in the order of learning.

        All tasks of the stream, if no update on the path learns a task, as in streams of releases. Tasks that were
        forgotten on request are left out.
        """
        forgotten = self.forgotten_tasks(version)
        return tuple(task for task in self.learnt_at(version) or self.tasks if task not in forgotten)

    def forgotten_tasks(self, version: int) -> frozenset[str]:
        """The tasks that were forgotten as a whole, on request, on the path to a version; not measured from then on."""
        return whole_tasks(forgotten_on(self.updates, self.path(version)))

    def along(self, version: int) -> "ScoreMatrix":
        """The matrix of the stream that ends with a version: its path as rows, `counted_tasks` as columns.

        Rows are numbered from 0 again, so the path is one chain of updates.

        Args:
            version: From 1 to the last version.

        Raises:
            MetricError: If all these tasks were forgotten on request.
        """
        path, tasks = self.path(version), self.counted_tasks(version)
        if not tasks:
            raise MetricError(f"all tasks that count for version {self.numbers[version]} were forgotten on request")
        if (len(path), tasks) == (len(self.scores), self.tasks):
            return self
        columns = [self.tasks.index(task) for task in tasks]
        updates = tuple(self.updates[number - 1] for number in path[1:])
        numbers = tuple(self.numbers[number] for number in path)
        return ScoreMatrix(tasks, self.scores[np.ix_(path, columns)], updates, numbers)

    def with_rows(self, versions: Sequence[int], rows: Sequence[Sequence[float]]) -> "ScoreMatrix":
        """The matrix with other scores of some versions.

        Args:
            versions: Numbers of the versions.
            rows: Their scores on all tasks, in the order of `versions`.

        Raises:
            DataError: For rows of another shape.
        """
        if len(rows) != len(versions) or any(len(row) != len(self.tasks) for row in rows):
            raise DataError(f"score matrix: wanted {len(versions)} rows of {len(self.tasks)} scores, got others")
        scores = self.scores.copy()
        scores[list(versions)] = rows
        return ScoreMatrix(self.tasks, scores, self.updates, self.numbers)

    def last_scores(self) -> Scores:
        """The scores of the last version on all tasks, shape (T,); defined for updates of all kinds.

        Raises:
            MetricError: When the last version was not tested on every task.
        """
        return self.measured(self.last, np.arange(1, self.number_of_tasks + 1))

    def at(self, version: int, task: int) -> float:
        """R[version][task] with tasks counted from 1, as the formulas do.

        Raises:
            MetricError: As in `cells`.
        """
        return float(self.cells(version, task))

    def cells(self, versions: npt.ArrayLike, tasks: npt.ArrayLike) -> Scores:
        """R[versions][tasks], as in `measured`, for formulas that suppose that version i learnt task i.

        Raises:
            MetricError: For a cell that was not measured, naming the first; always where versions are made in another
                way.
            IndexError: For a version or task that the matrix does not have, a defect of the formula.
        """
        if self.rows_are != "version":
            self.require_learnt_tasks()
            shown = ", ".join(self.made_of[:4]) + ", ..." * (self.last > 4)
            raise MetricError(f"the formula supposes that version i learnt task i, but the updates here are {shown}")
        return self.measured(versions, tasks)

    def measured(self, versions: npt.ArrayLike, tasks: npt.ArrayLike) -> Scores:
        """R[versions][tasks], broadcast against each other, tasks counted from 1; all of them must have been measured.

        Raises:
            MetricError: For a cell that was not measured, naming the first.
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
            raise MetricError(f"version {self.numbers[rows[first]]}, task {task!r} was not measured{more}")
        return values

    def require_learnt_tasks(self) -> None:
        """Refuse a path on which no task was learnt, where no version is the one that a task was learnt with.

        Raises:
            MetricError: Without an update of kind `learn` on the path to the last version.
        """
        if self.learnt_at():
            return
        if all(isinstance(update, Adopt) for update in self.updates):
            raise MetricError("versions are releases of the model here, and none of them learnt one of the tasks")
        raise MetricError("none of the updates that lead to this version learnt one of the tasks")

    def require_two_tasks(self, why: str) -> None:
        """Refuse a stream of one task, on which a metric of change between tasks is not defined.

        Raises:
            MetricError: With a single task.
        """
        if self.number_of_tasks < 2:
            raise MetricError(f"needs at least 2 tasks, got 1: {why}")

    @classmethod
    def from_rows(
        cls, tasks: Sequence[str], rows: Mapping[int, Sequence[float]], updates: Sequence[Update] = ()
    ) -> Self:
        """A matrix from the rows of the versions that were measured; the others are NaN.

        Args:
            tasks: Names of the tasks in the order of the stream.
            rows: Scores on every task by version.
            updates: Updates 1, 2, ...; empty where the tasks are learnt one after another.

        Raises:
            DataError: For a version that there cannot be or a row with the wrong number of scores.
        """
        last = len(updates) or len(tasks)
        scores = np.full((last + 1, len(tasks)), np.nan)
        for version, row in rows.items():
            if not 0 <= version <= last:
                raise DataError(f"score matrix: version must be from 0 to {last}, got {version}")
            if len(row) != len(tasks):
                raise DataError(f"score matrix, version {version}: wanted {len(tasks)} scores, got {len(row)}")
            scores[version] = row
        return cls(tuple(tasks), scores, tuple(updates))

    @classmethod
    def from_csv(cls, path: Path | str) -> Self:
        """Read a matrix: header `version,<task>,...`, then a row a version; cells and rows may be left out.

        Raises:
            DataError: When the file is missing or malformed, with file, row and column.
        """
        return cls.from_rows(*parse_matrix(Path(path)))

    def to_csv(self, path: Path | str | None = None) -> str:
        """The text that `from_csv` reads back bit for bit; also written to `path`, whole or not at all.

        Where version t does not learn task t the first column is `release` or `update`, which `from_csv` refuses, as
        the file does not say what the updates were.

        Raises:
            ClbenchError: When the disk is full or not writable.
        """
        text = format_matrix(self.tasks, self.scores.tolist(), self.rows_are)
        if path is not None:
            with written_whole(Path(path)) as aside:
                aside.write_text(text, encoding="utf-8", newline="")
        return text
