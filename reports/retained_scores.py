"""R over the test rows that each version retains: all but those of what it was asked to forget."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clbench.reports.forgotten import Forgotten
from clbench.reports.matrix import ScoreMatrix
from clbench.reports.paths import forgotten_on, learn_chain
from clbench.spec.ledger import task_scores
from clbench.spec.update import Update, parents_of, path_to


@final
@dataclass(frozen=True)
class RetainedScores:
    """R under one protocol, and what its rows were computed over.

    Attributes:
        matrix: R. Row t is computed over the test rows that version t retains, so a task that was forgotten as a whole
            is NaN from then on.
        forgotten: What each version was asked to forget, by its number.
        over: By version: R with all rows of its path computed over the test rows that this version retains. A later
            version is then compared with an earlier one on the same rows. Only versions on whose path a class was
            forgotten are there; for all others the rows of `matrix` are these.
    """

    matrix: ScoreMatrix
    forgotten: tuple[frozenset[Forgotten], ...]
    over: dict[int, ScoreMatrix]

    def of(self, version: int) -> ScoreMatrix:
        """The matrix from which the metrics of a version are computed."""
        return self.over.get(version, self.matrix)


def retained_scores(tasks: Sequence[str], updates: Sequence[Update], rows: pa.Table, protocol: str) -> RetainedScores:
    """R from a ledger.

    Args:
        tasks: Names of the tasks in the order of the stream.
        updates: Updates 1, 2, ...; empty if the tasks are learnt one after another.
        rows: Ledger rows of the versions that are there; cells of the others are NaN.
        protocol: Name of the protocol.

    Raises:
        ConfigError: If the updates are no graph of versions.
        DataError: If the rows have a version that no update made.
    """
    updates = tuple(updates) or learn_chain(tasks)
    parents = parents_of(updates, "stream")
    paths = [path_to(version, parents) for version in range(len(updates) + 1)]
    forgotten = tuple(forgotten_on(updates, path) for path in paths)
    cells = {request: task_scores(retained_rows(rows, request), protocol) for request in set(forgotten)}
    tested = sorted({version for version, _ in cells[frozenset()]})

    def row(version: int, request: frozenset[Forgotten]) -> list[float]:
        return [cells[request].get((version, task), float("nan")) for task in tasks]

    matrix = ScoreMatrix.from_rows(
        tasks, {v: row(v, forgotten[v] if v < len(forgotten) else frozenset()) for v in tested}, updates
    )
    over: dict[int, ScoreMatrix] = {}
    for version, path in enumerate(paths):
        if any(item.category is not None for item in forgotten[version]):
            over[version] = matrix.with_rows(path, [row(v, forgotten[version]) for v in path])
    return RetainedScores(matrix, forgotten, over)


def retained_rows(rows: pa.Table, forgotten: frozenset[Forgotten]) -> pa.Table:
    """The rows of a ledger without the forgotten ones."""
    if not forgotten:
        return rows
    left_out = np.zeros(len(rows), bool)
    for item in forgotten:
        chosen = pc.equal(rows["task"], item.task)
        if item.category is not None:
            chosen = pc.and_(chosen, pc.is_in(rows["target"], pa.array(item.targets, pa.string())))
        left_out |= pc.fill_null(chosen, False).to_numpy()
    return rows.filter(pa.array(~left_out))
