"""Two candidates for the same update: which of them breaks fewer of the old model's right answers?"""

from dataclasses import dataclass
from typing import final

from clbench.core.errors import DataError
from clbench.reports.flips.comparison import compare
from clbench.reports.flips.contingency import ContingencyTable
from clbench.reports.flips.flip_metrics import nfr
from clbench.reports.flips.pairing import checked_rows, database
from clbench.reports.flips.rows import Rows
from clbench.reports.flips.statistics import mcnemar_exact, noise_floor

COUNT = """
SELECT count(*), count(*) FILTER (NOT a.correct AND b.correct), count(*) FILTER (a.correct AND NOT b.correct),
    count(*) FILTER (NOT a.correct AND NOT b.correct)
FROM old_rows o JOIN first_rows a USING (task, sample_id) JOIN second_rows b USING (task, sample_id)
WHERE o.correct AND a.correct IS NOT NULL AND b.correct IS NOT NULL
"""


@final
@dataclass(frozen=True)
class Candidates:
    """What two candidates did to the samples that the old model had right and both were tested on.

    Args:
        old_right: How many these are.
        first_only: Negative flips of the first candidate alone.
        second_only: Negative flips of the second one alone.
        both: Negative flips of both.
    """

    old_right: int
    first_only: int
    second_only: int
    both: int

    @property
    def mcnemar_p(self) -> float:
        """Exact McNemar test on the indicators of a negative flip: may both break equally many?"""
        return mcnemar_exact(self.first_only, self.second_only)


def compare_candidates(old: Rows, first: Rows, second: Rows) -> Candidates:
    """Pair the negative flips of two candidates against one old model.

    Raises:
        DataError: When a side has a sample twice or is damaged, or no right answer of the old one is in both others.
    """
    with database(old, first, second) as (connection, folder):
        protocol = checked_rows(connection, folder, old, "old_rows", None)
        checked_rows(connection, folder, first, "first_rows", protocol)
        checked_rows(connection, folder, second, "second_rows", protocol)
        counts = connection.sql(COUNT).fetchall()[0]
    if not counts[0]:
        raise DataError(f"{first.name} and {second.name}: no sample in common that {old.name} has right")
    return Candidates(*counts)


def seed_noise(seeds: list[Rows]) -> float | None:
    """The noise floor: mean NFR between the seeds of one recipe, either of them taken for the old one.

    Returns:
        The mean over ordered pairs; None with a single seed or without right or wrong answers.

    Raises:
        DataError: For sides that cannot be compared.
    """
    tables: dict[tuple[int, int], ContingencyTable] = {}
    for i in range(len(seeds)):
        for j in range(i + 1, len(seeds)):
            table = compare(seeds[i], seeds[j]).table
            tables[i, j], tables[j, i] = table, _turned(table)
    return noise_floor(lambda i, j: tables[i, j], len(seeds), nfr)


def _turned(table: ContingencyTable) -> ContingencyTable:
    """The table of the comparison the other way round."""
    right, lost, won, same, different = table.counts
    return ContingencyTable(right, won, lost, same, different)
