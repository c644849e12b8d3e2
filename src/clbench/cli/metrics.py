"""`clbench metrics`: all metrics of an accuracy matrix in a CSV file."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def metrics(
    matrix: Annotated[
        Path, typer.Argument(help="CSV file with the header `version,TASK,...` and a row for each version.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Compute all metrics of an accuracy matrix in a CSV file.

    These are accuracy, forgetting and transfer, in each variant that frameworks use.
    """
    from clbench.cli.output import print_json, print_table
    from clbench.reports.matrix import ScoreMatrix
    from clbench.reports.metrics._compute import compute_all, notes_on

    scores = ScoreMatrix.from_csv(matrix)
    report, notes = compute_all(scores), notes_on(scores)
    if as_json:
        print_json({**report.nested(), "notes": notes})
        return
    for note in notes:
        print(f"{matrix}: {note}", file=sys.stderr)
    rows = [
        (name, "n/a" if value is None else f"{value:.4f}", report.undefined.get(name, ""))
        for name, value in report.values.items()
    ]
    print_table(str(matrix), ("metric", "value", "why undefined"), rows)
