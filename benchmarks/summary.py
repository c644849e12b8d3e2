"""What the command line prints at the end of a suite."""

from collections.abc import Sequence

from clbench.benchmarks.execution import matrices
from clbench.benchmarks.runner import Outcome
from clbench.reports.metrics.compute import compute_all

COLUMNS = {
    "mtil.last": "Last",
    "mtil.average": "Average",
    "mtil.transfer": "Transfer",
    "forgetting.chaudhry": "forgetting",
    "bwt.gem": "BWT",
    "union.mtil.last": "union Last",
    "union.forgetting.chaudhry": "union forg.",
}
"""Keys of a row and the headings of their columns; the headline protocol unless the key says otherwise."""


def summarise(outcomes: Sequence[Outcome]) -> list[dict[str, object]]:
    """One row a cell: status, and for finished ones every metric (fractions) under every protocol."""
    rows = []
    for outcome in outcomes:
        cell = outcome.cell
        row: dict[str, object] = {
            "stream": cell.names[0],
            "learner": cell.names[1],
            "strategy": cell.label,
            "seed": cell.seed,
            "status": outcome.status,
            "folder": str(outcome.folder.path),
        }
        if outcome.status == "failed":
            row["error"] = outcome.error
        else:
            row |= _numbers(outcome)
        rows.append(row)
    return rows


def _numbers(outcome: Outcome) -> dict[str, float]:
    stream = outcome.cell.load_stream()
    result: dict[str, float] = {}
    for index, (protocol, matrix) in enumerate(matrices(stream, outcome.folder).items()):
        prefix = f"{protocol}." if index else ""
        result |= {prefix + name: value for name, value in compute_all(matrix).values.items() if value is not None}
    return result
