"""Which version of a path learnt each task: what the formulas of forgetting and transfer are written in."""

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from clbench.core.errors import MetricError
from clbench.reports.matrix import ScoreMatrix

Numbers = npt.NDArray[np.int64]


@final
@dataclass(frozen=True)
class Learning:
    """The path to the last version, and when its tasks were learnt.

    Attributes:
        path: R of the path; its T columns are the tasks learnt on it, in the order of learning.
        learnt: L(i), the number of the version that learnt task i, by row of `path`; shape (T,). L(i) = i where tasks
            are learnt one after another.
    """

    path: ScoreMatrix
    learnt: Numbers

    @property
    def last(self) -> int:
        """N, the number of the last version, by row of `path`."""
        return self.path.last

    def earlier(self, why: str) -> Numbers:
        """The tasks i, from 1, that were learnt before the last version.

        Raises:
            MetricError: If there are none.
        """
        return self._require(self.learnt < self.last, why)

    def later(self, why: str) -> Numbers:
        """The tasks i, from 1, with a version 1 <= t < L(i): all but the first where tasks are learnt one by one.

        Raises:
            MetricError: If there are none.
        """
        return self._require(self.learnt > 1, why)

    def just_learnt(self, tasks: Numbers) -> Numbers:
        """L(i) of some tasks i, counted from 1."""
        return np.asarray(self.learnt[tasks - 1])

    def _require(self, chosen: npt.NDArray[np.bool_], why: str) -> Numbers:
        tasks = np.flatnonzero(chosen) + 1
        if not len(tasks):
            raise MetricError(f"needs at least 2 tasks, got {len(self.learnt)}: {why}")
        return tasks


def learning(scores: ScoreMatrix) -> Learning:
    """The learning of tasks on the path to the last version of a matrix.

    Raises:
        MetricError: If no update on the path learns a task.
    """
    scores.require_learnt_tasks()
    path = scores.along(scores.last)
    return Learning(path, np.array(list(path.learnt_at().values()), dtype=np.int64))
