"""The ledger rows of one version on one image task, with their measures."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from clbench.core.errors import MetricError
from clbench.kinds import TASK_KINDS, kind_of

MARKS = {mark: name for name in TASK_KINDS.names() for mark in kind_of(name).measures}
"""Beginnings of the names of measures, and the kind of task that has them."""


class DoesNotApplyError(MetricError):
    """The metric is not meant for this task, and no data are missing."""


@final
@dataclass(frozen=True)
class MeasuredRows:
    """The rows of one version, protocol and task.

    Attributes:
        task: Name of the task.
        prediction: Texts of the ledger's column, one for each sample.
        target: Texts of the ledger's column, one for each sample.
        measures: Numbers of each sample by name; empty for a sample without any.
    """

    task: str
    prediction: tuple[str, ...]
    target: tuple[str, ...]
    measures: tuple[dict[str, float], ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All measures that samples have, in their order."""
        return tuple(dict.fromkeys(name for found in self.measures for name in found))

    @property
    def kind(self) -> str:
        """Kind of the task, by the names of its measures; only probabilities can be missing in all samples."""
        kinds = (MARKS[mark] for name in self.names for mark in MARKS if name.startswith(mark))
        return next(kinds, "classification")

    def classes(self, mark: str) -> tuple[str, ...]:
        """The classes that have a measure `<mark><class>`, in the order of their labels."""
        return tuple(name.removeprefix(mark) for name in self.names if name.startswith(mark))

    def values(self, name: str) -> npt.NDArray[np.float64]:
        """One measure of all samples `(n,)`.

        Raises:
            DoesNotApplyError: When no sample has it.
            MetricError: When some samples lack it.
        """
        if name not in self.names:
            raise DoesNotApplyError(f"no sample has the measure {name!r}")
        missing = sum(name not in found for found in self.measures)
        if missing:
            raise MetricError(f"{missing} of {len(self.measures)} samples have no measure {name!r}")
        return np.array([found[name] for found in self.measures])


def tasks_of(rows: pa.Table) -> Iterator[MeasuredRows]:
    """The tasks that have measures, in the order of their first rows.

    Args:
        rows: Ledger rows of one version under one protocol.
    """
    measured = rows.filter(pc.is_valid(rows["measures"]))
    for task in pc.unique(measured["task"]).to_pylist():
        own = measured.filter(pc.equal(measured["task"], task))
        measures = tuple(dict(found) for found in own["measures"].to_pylist())
        yield MeasuredRows(task, tuple(own["prediction"].to_pylist()), tuple(own["target"].to_pylist()), measures)
