"""The table "What is left of what was forgotten": one row a version, over seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from clbench.reports.estimates import Estimate, estimate
from clbench.reports.headings import AUDIT, NO_NUMBER, audit_number
from clbench.reports.result import CellResult
from clbench.spec.update import PRETRAINED

AUDIT_FIRST = ("Request", "Version", "Made by", "Role")
"""Headings of what `AuditRow.words` gives; those of its numbers follow."""


@final
@dataclass(frozen=True)
class AuditRow:
    """A version before or after a request to forget, over seeds.

    Attributes:
        request: Label of the update that forgets.
        version: Number of the version.
        made_by: Label of the update that made the version.
        role: `before`, `reference` (trained without the samples), `reference, again` (with other randomness), `after`.
        numbers: Estimates by the names of `AUDIT`, each over the seeds that have it.
    """

    request: str
    version: int
    made_by: str
    role: str
    numbers: Mapping[str, Estimate]

    @property
    def words(self) -> tuple[str, str, str, str]:
        """The cells under `AUDIT_FIRST`."""
        return (self.request, str(self.version), self.made_by, self.role)

    def cell(self, name: str) -> str:
        """A number as text: mean and standard error; a dash without one.

        Args:
            name: One of `AUDIT`.
        """
        found = self.numbers.get(name)
        if found is None:
            return NO_NUMBER
        error = (
            "" if found.standard_error is None else f" \N{PLUS-MINUS SIGN} {audit_number(name, found.standard_error)}"
        )
        return f"{audit_number(name, found.mean)}{error}"


def audit_rows(results: Sequence[CellResult]) -> list[AuditRow]:
    """The rows of the table, from the results of one cell or of several seeds of it.

    Args:
        results: Results of cells that differ in the seed only.

    Returns:
        The versions of each request to forget: before it, the references, after it. None where nothing was asked to be
        forgotten; and none if the updates of the results differ.
    """
    if len({result.updates for result in results}) != 1:
        return []
    labels = [PRETRAINED, *(update.label for update in results[0].updates)]
    rows = []
    for request, versions in results[0].audits.items():
        references = [v for v in versions if v != 0 and getattr(results[0].updates[v - 1], "without", None) == request]
        for version in sorted(versions, key=lambda v: (labels[v] == request, v in references, v)):
            role = "after" if labels[version] == request else "before"
            if version in references:
                role = "reference" if version == references[0] else "reference, again"
            having = [result.audits.get(request, {}).get(version, {}) for result in results]
            found = {name: [of_seed[name] for of_seed in having if name in of_seed] for name in AUDIT}
            numbers = {name: estimate(values) for name, values in found.items() if values}
            rows.append(AuditRow(request, version, labels[version], role, numbers))
    return rows


def audit_columns(rows: Sequence[AuditRow]) -> list[str]:
    """Names of the columns of numbers: those of `AUDIT` that some row has."""
    return [name for name in AUDIT if any(name in row.numbers for row in rows)]


def terminal_audit(results: Sequence[CellResult]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Headings and rows of the table as text, for the terminal; both empty where `audit_rows` has no rows."""
    rows = audit_rows(results)
    if not rows:
        return [], []
    names = audit_columns(rows)
    headings = [*AUDIT_FIRST, *(AUDIT[name].terminal for name in names)]
    return headings, [(*row.words, *(row.cell(name) for name in names)) for row in rows]
