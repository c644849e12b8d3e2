"""Two candidates for one update: which of them has fewer negative flips against the old model?"""

from dataclasses import dataclass
from typing import final

from clbench.core.errors import DataError
from clbench.reports.flips.comparison import compare
from clbench.reports.flips.contingency import ContingencyTable
from clbench.reports.flips.flip_metrics import nfr
from clbench.reports.flips.pairing import checked_view, database, leave_out
from clbench.reports.flips.predictions import Predictions
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
    """Negative flips of two candidates, on samples that both were tested on and the old model has right.

    Args:
        old_right: Number of these samples.
        first_only: Number of negative flips of the first candidate only.
        second_only: Number of negative flips of the second candidate only.
        both: Number of samples that are negative flips of both candidates.
    """

    old_right: int
    first_only: int
    second_only: int
    both: int

    @property
    def mcnemar_p(self) -> float:
        """p-value of McNemar's exact test that both candidates have equally many negative flips."""
        return mcnemar_exact(self.first_only, self.second_only)


def compare_candidates(old: Predictions, first: Predictions, second: Predictions) -> Candidates:
    """Pair the negative flips of two candidates against one old model.

    Args:
        old: Predictions of the old model.
        first: Predictions of the first candidate.
        second: Predictions of the second candidate.

    Raises:
        DataError: For predictions that are damaged or have a sample twice, models that were asked to forget different
            things, or if both candidates were tested on no
            sample that the old model has right.
    """
    with database(old, first, second) as (connection, folder):
        views = {"old_rows": (old.name, checked_view(connection, folder, old, "old_rows", None))}
        protocol = views["old_rows"][1].protocol
        for view, candidate in (("first_rows", first), ("second_rows", second)):
            views[view] = (candidate.name, checked_view(connection, folder, candidate, view, protocol))
        leave_out(connection, views)
        counts = connection.sql(COUNT).fetchall()[0]
    if not counts[0]:
        raise DataError(f"{first.name} and {second.name}: no sample in common that {old.name} has right")
    return Candidates(*counts)


def seed_noise(seeds: list[Predictions]) -> float | None:
    """Noise floor of NFR: its mean over ordered pairs of models that differ in the seed only (see `noise_floor`).

    Args:
        seeds: Predictions of one model for each seed.

    Returns:
        The mean, a share in [0, 1]; None with a single seed or without right or wrong answers.

    Raises:
        DataError: For predictions that cannot be compared.
    """
    tables: dict[tuple[int, int], ContingencyTable] = {}
    for i in range(len(seeds)):
        for j in range(i + 1, len(seeds)):
            table = compare(seeds[i], seeds[j]).table
            tables[i, j], tables[j, i] = table, _swapped(table)
    return noise_floor(lambda i, j: tables[i, j], len(seeds), nfr)


def _swapped(table: ContingencyTable) -> ContingencyTable:
    """The table with old and new models exchanged."""
    right, lost, won, same, different = table.counts
    return ContingencyTable(right, won, lost, same, different)
