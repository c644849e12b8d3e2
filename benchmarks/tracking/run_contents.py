"""What a run shows besides metrics: its description, the data sets of its tasks, and the table of all numbers."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from clbench.benchmarks.engine.cell import Cell
from clbench.reports.result import CellResult

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

NUMBERS = "numbers.csv"
"""Artifact with every number of every version: columns `version`, `name`, `value`."""
NOTE = "mlflow.note.content"
"""Tag of a run that MLflow shows as its description."""
DIGEST = 8
"""Characters of a data set's digest, as many as MLflow's own have."""
NAME = 500
"""Most characters of its name."""
COLUMNS = 20
"""Most tasks of a matrix that the description shows."""


def numbers_table(numbers: Sequence[Mapping[str, float]]) -> str:
    """All numbers of all versions as CSV, every value with all its digits.

    Args:
        numbers: Numbers by name, of version 0, 1, ...
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("version", "name", "value"))
    for version, of in enumerate(numbers):
        writer.writerows((version, name, repr(value)) for name, value in sorted(of.items()))
    return text.getvalue()


def description(cell: Cell, result: CellResult) -> str:
    """The accuracy matrix of the first protocol in Markdown, in %, and what the other artifacts are."""
    protocol = next(iter(result.protocols))
    matrix = result.matrix(protocol)
    shown = [_plain(task) for task in matrix.tasks[:COLUMNS]]
    what = f"**{_plain(cell.label)}** on {_plain(cell.names[0])} with {_plain(cell.names[1])}, seed {cell.seed}."
    lines = [f"{what} Scores under `{protocol}` in %, a row for each version:", ""]
    lines += [f"| version | {' | '.join(shown)} |", f"|---|{'---:|' * len(shown)}"]
    labels = ["pre-trained", *(update.label for update in result.updates)]
    for version, (label, scores) in enumerate(zip(labels, matrix.scores[:, :COLUMNS].tolist(), strict=True)):
        cells = " | ".join("" if math.isnan(score) else f"{100 * score:.1f}" for score in scores)
        lines.append(f"| {version} {_plain(label)} | {cells} |")
    if len(matrix.tasks) > COLUMNS:
        lines += ["", f"{len(matrix.tasks) - COLUMNS} more tasks are in `R-{protocol}.csv`."]
    lines += ["", f"Artifacts: all numbers of all versions (`{NUMBERS}`), every answer (`ledger.parquet`), `R-*.csv`."]
    return "\n".join(lines)


def data_sets(cell: Cell) -> "list[DatasetInput]":
    """The tasks as data sets; the digest changes with the rows that are tested."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    found = []
    for task in cell.load_stream().tasks:
        digest = task.fingerprint(cell.split)[:DIGEST]
        profile = json.dumps({"kind": task.kind, "metric": task.metric, "classes": len(task.classes)})
        source = json.dumps({"stream": cell.names[0], "task": task.name, "tested": cell.split})
        data = Dataset(f"{cell.names[0]}/{task.name}"[:NAME], digest, "clbench", source, None, profile)
        found.append(DatasetInput(data, [InputTag("mlflow.data.context", "training and testing")]))
    return found


def _plain(text: str) -> str:
    """Text in which nothing is markup: names come from cards and strategies of anybody."""
    return "".join(f"&#{ord(mark)};" if mark in "|<>&[]*_`\\#!\n\r" else mark for mark in text)
