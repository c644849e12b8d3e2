"""The versions of one ledger sample by sample: what happened to each answer along a stream.

`flips_between` counts flips from one version of a run to another, for MLflow and the result of a cell. `clbench
compare`, whose two models may come from different files, pairs samples in `pairing.py` and counts in `flip_counts.py`.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from clbench.core.errors import DataError, did_you_mean
from clbench.reports.flips.contingency import ContingencyTable
from clbench.reports.flips.graded import ChangeHistogram, change_histogram
from clbench.reports.forgotten import Forgotten

UNKNOWN = -1
"""Value in `right` for a sample that a version was not tested on or whose answers are graded; in `answer` for none."""
Right = npt.NDArray[np.int8]


@final
@dataclass(frozen=True, eq=False)
class Chain:
    """The answers to all samples under one protocol, by version.

    Args:
        tasks: Names of the tasks in the order of the stream.
        versions: Numbers of the versions, ascending.
        targets: Texts of the true answers.
        task: Index of each sample's task, shape `(samples,)`.
        target: Index of each sample's target, `UNKNOWN` for none; shape `(samples,)`.
        right: 1 for right, 0 for wrong, `UNKNOWN` otherwise; shape `(versions, samples)`.
        answer: Number of the prediction, equal for equal predictions; `UNKNOWN` for none; shape `(versions, samples)`.
        score: Graded scores, NaN for none; shape `(versions, samples)`.
    """

    tasks: tuple[str, ...]
    versions: tuple[int, ...]
    targets: tuple[str, ...]
    task: npt.NDArray[np.int64]
    target: npt.NDArray[np.int64]
    right: Right
    answer: npt.NDArray[np.int64]
    score: npt.NDArray[np.float64]

    @classmethod
    def from_ledger(cls, ledger: pa.Table, protocol: str) -> Self:
        """Arrange the rows of one protocol by version and sample.

        Raises:
            DataError: For a protocol that is not there, or a sample that a version was tested on twice.
        """
        rows = ledger.filter(pc.equal(ledger["protocol"], protocol)).combine_chunks()
        if not len(rows):
            known = pc.unique(ledger["protocol"]).to_pylist()
            raise DataError(f"ledger: no rows of protocol {protocol!r}: {did_you_mean(protocol, known)}")
        task, tasks = _coded(rows["task"])
        sample, _ = _coded(rows["sample_id"])
        versions, version = np.unique(rows["version"].to_numpy(), return_inverse=True)
        name, first, place = np.unique(task * (sample.max() + 1) + sample, return_index=True, return_inverse=True)
        shape = (len(versions), len(name))
        if len(np.unique(version * len(name) + place)) < len(rows):
            raise DataError(f"ledger, protocol {protocol!r}: a version has the same sample of a task twice")
        right, answer = np.full(shape, UNKNOWN, np.int8), np.full(shape, UNKNOWN, np.int64)
        score = np.full(shape, np.nan)
        right[version, place] = _filled(pc.cast(rows["correct"], pa.int8()), UNKNOWN)
        answer[version, place] = _coded(rows["prediction"])[0]
        score[version, place] = _filled(pc.cast(rows["score"], pa.float64()), np.nan)
        target, targets = _coded(rows["target"])
        names = (tuple(map(str, tasks)), tuple(map(int, versions)), tuple(targets))
        return cls(*names, task[first], target[first], right, answer, score)

    def along(self, path: Sequence[int]) -> "Chain":
        """The chain of those versions of a path that it has."""
        kept = [index for index, known in enumerate(self.versions) if known in path]
        versions = tuple(self.versions[index] for index in kept)
        return replace(
            self, versions=versions, right=self.right[kept], answer=self.answer[kept], score=self.score[kept]
        )

    def of_samples(self, chosen: npt.NDArray[np.bool_]) -> "Chain":
        """The answers to some samples only; `chosen` has shape `(samples,)`."""
        answers = (self.right[:, chosen], self.answer[:, chosen], self.score[:, chosen])
        return Chain(self.tasks, self.versions, self.targets, self.task[chosen], self.target[chosen], *answers)

    def is_forgotten(self, forgotten: Iterable[Forgotten]) -> npt.NDArray[np.bool_]:
        """Whether each sample is one of those, `(samples,)`."""
        found = np.zeros(len(self.task), bool)
        for item in forgotten:
            if item.task not in self.tasks:
                continue
            targets = [self.targets.index(text) for text in item.targets if text is not None and text in self.targets]
            of_task = self.task == self.tasks.index(item.task)
            found |= of_task if item.category is None else of_task & np.isin(self.target, targets)
        return found

    def retained(self, forgotten: Collection[Forgotten]) -> "Chain":
        """The answers to all samples but those that are forgotten."""
        return self.of_samples(~self.is_forgotten(forgotten)) if forgotten else self


def flips_between(chain: Chain, old: int, new: int, tasks: Sequence[str] | None = None) -> ContingencyTable:
    """The contingency table of two versions, over the samples that both have a right or wrong answer to.

    Args:
        chain: Answers of all versions.
        old: Number of the version that counts as the old model.
        new: Number of the version that counts as the new model.
        tasks: Names of the tasks to count; None for all.

    Raises:
        DataError: For a version or a task that the chain does not have.
    """
    before, after = _row(chain, old), _row(chain, new)
    chosen = _of_tasks(chain, tasks) & (chain.right[before] != UNKNOWN) & (chain.right[after] != UNKNOWN)
    was, now = chain.right[before][chosen] == 1, chain.right[after][chosen] == 1
    same = chain.answer[before][chosen] == chain.answer[after][chosen]
    cells = (was & now, was & ~now, ~was & now, ~was & ~now & same, ~was & ~now & ~same)
    return ContingencyTable(*(int(np.count_nonzero(cell)) for cell in cells))


def graded_changes_between(chain: Chain, old: int, new: int, tasks: Sequence[str] | None = None) -> ChangeHistogram:
    """Histogram of the changes of graded scores between two versions.

    Args:
        chain: Scores of all versions.
        old: Number of the version that counts as the old model.
        new: Number of the version that counts as the new model.
        tasks: Names of the tasks to count; None for all.

    Raises:
        DataError: For a version or a task that the chain does not have.
    """
    before, after = chain.score[_row(chain, old)], chain.score[_row(chain, new)]
    chosen = _of_tasks(chain, tasks) & ~np.isnan(before) & ~np.isnan(after)
    return change_histogram(before[chosen], after[chosen])


def _coded(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Texts as numbers from 0 in the order of their first rows, `UNKNOWN` for none; and the text of each number."""
    coded = pc.dictionary_encode(column.combine_chunks())
    return _filled(pc.cast(coded.indices, pa.int64()), UNKNOWN), coded.dictionary.to_pylist()


def _filled(column: "pa.Array | pa.ChunkedArray", empty: float) -> npt.NDArray[Any]:
    array = pc.fill_null(column, pa.scalar(empty, column.type))
    return np.asarray(array)


def _row(chain: Chain, version: int) -> int:
    if version not in chain.versions:
        raise DataError(f"the ledger has no version {version}, but {', '.join(map(str, chain.versions))}")
    return chain.versions.index(version)


def _of_tasks(chain: Chain, tasks: Sequence[str] | None) -> npt.NDArray[np.bool_]:
    if tasks is None:
        return np.ones(len(chain.task), bool)
    unknown = [task for task in tasks if task not in chain.tasks]
    if unknown:
        raise DataError(f"the ledger has no task {unknown[0]!r}: {did_you_mean(unknown[0], chain.tasks)}")
    return np.isin(chain.task, [chain.tasks.index(task) for task in tasks])
