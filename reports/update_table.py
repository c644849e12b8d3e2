"""The table "What each update cost": one row an update, over seeds, for the terminal and the leaderboard."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from clbench.reports.estimates import Estimate, estimate
from clbench.reports.headings import NO_NUMBER, UPDATE_COSTS, update_number
from clbench.reports.result import CellResult
from clbench.spec.update import PRETRAINED, parents_of

FIRST_COLUMNS = ("Version", "Update", "Kind", "From")
"""Headings of what `UpdateRow.words` gives; those of its numbers follow."""


@final
@dataclass(frozen=True)
class UpdateRow:
    """What an update cost, over seeds.

    Attributes:
        number: Number of the version that it made.
        label: Label of the update.
        kind: `learn`, `adopt`, `compress` or `forget`.
        parent: Number and label of the version that it started from.
        numbers: Estimates by the names of `UPDATE_COSTS`, each over the seeds that have it.
    """

    number: int
    label: str
    kind: str
    parent: str
    numbers: Mapping[str, Estimate]

    @property
    def words(self) -> tuple[str, str, str, str]:
        """The cells under `FIRST_COLUMNS`."""
        return (str(self.number), self.label, self.kind, self.parent)

    def cell(self, name: str, seeds: int) -> str:
        """A number as text: mean ± standard error, and how many seeds have it if not all do; a dash without one.

        Args:
            name: One of `UPDATE_COSTS`.
            seeds: How many seeds finished.
        """
        found = self.numbers.get(name)
        if found is None:
            return NO_NUMBER
        error = "" if found.standard_error is None else f" ± {update_number(name, found.standard_error)}"
        return f"{update_number(name, found.mean)}{error}" + (f" ({found.n} of {seeds} seeds)" * (found.n < seeds))


def update_rows(results: Sequence[CellResult], protocol: str) -> list[UpdateRow]:
    """The rows of the table, from the results of one cell or of several seeds of it.

    Args:
        results: Results of cells that differ in the seed only.
        protocol: Name of the protocol.

    Returns:
        A row for each update. None for streams that only learn their tasks in order, and for streams of releases, which
        have no such costs; and none if the updates of the results differ.
    """
    having = [result for result in results if protocol in result.protocols]
    versions = [result.protocols[protocol].versions[1:] for result in having]
    if len({result.updates for result in having}) != 1 or not any(v.update for of_seed in versions for v in of_seed):
        return []
    costs = [[version.update | version.flips for version in of_seed] for of_seed in versions]
    updates = having[0].updates
    labels = [PRETRAINED, *(update.label for update in updates)]
    parents = parents_of(updates, "result")
    return [
        UpdateRow(number, update.label, update.kind, f"{parent} {labels[parent]}", _over_seeds(of_seeds))
        for number, (update, parent, of_seeds) in enumerate(
            zip(updates, parents, zip(*costs, strict=True), strict=True), start=1
        )
    ]


def update_columns(rows: Sequence[UpdateRow]) -> list[str]:
    """Names of the columns of numbers: those of `UPDATE_COSTS` that some row has."""
    return [name for name in UPDATE_COSTS if any(name in row.numbers for row in rows)]


def terminal_table(results: Sequence[CellResult], protocol: str) -> tuple[list[str], list[tuple[str, ...]]]:
    """Headings and rows of the table as text, for the terminal; both empty where `update_rows` has no rows.

    Where there are updates of other kinds, those that learn a task are left out: cells share these, and R shows them.

    Args:
        results: Results of cells that differ in the seed only.
        protocol: Name of the protocol.
    """
    rows = update_rows(results, protocol)
    if not rows:
        return [], []
    rows = [row for row in rows if row.kind != "learn"] or rows
    names = update_columns(rows)
    headings = [*FIRST_COLUMNS, *(UPDATE_COSTS[name].terminal for name in names)]
    return headings, [(*row.words, *(row.cell(name, len(results)) for name in names)) for row in rows]


def _over_seeds(costs: Sequence[Mapping[str, float]]) -> dict[str, Estimate]:
    found = {name: [of_seed[name] for of_seed in costs if name in of_seed] for name in UPDATE_COSTS}
    return {name: estimate(values) for name, values in found.items() if values}
