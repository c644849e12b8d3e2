"""The CSV form of an accuracy matrix: every defect of a file is named with its row and column."""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

from clbench.core.csv_files import Rows, number_of, read_cells
from clbench.core.errors import DataError

Scores = dict[int, list[float]]


def parse_matrix(path: Path) -> tuple[tuple[str, ...], Scores]:
    """Read the tasks and the rows by version; empty cells are NaN.

    Raises:
        DataError: When the file is missing or malformed, with file, row and column.
    """
    lines = _lines(path)
    tasks = _header(path, *lines[0])
    rows: Scores = {}
    for number, line in lines[1:]:
        place = f"{path}: row {number}"
        version = _version(place, line[0], len(tasks))
        if version in rows:
            raise DataError(f"{place}, column 'version': wanted each version once, got {version} again")
        rows[version] = [_score(f"{place}, column {task!r}", cell) for task, cell in zip(tasks, line[1:], strict=True)]
    if not rows:
        raise DataError(f"{path}: wanted at least one row of scores, got only the header")
    return tasks, rows


def format_matrix(tasks: Sequence[str], scores: Sequence[Sequence[float]], first: str = "version") -> str:
    """The CSV text of a matrix: versions without any score are left out, unmeasured cells are empty.

    Args:
        tasks: The columns.
        scores: The rows.
        first: Heading of the column with the rows' numbers.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([first, *tasks])
    for version, row in enumerate(scores):
        cells = ["" if math.isnan(score) else repr(score) for score in row]
        if any(cells) or version == len(scores) - 1:  # the last row stays, so that a matrix without scores is readable
            writer.writerow([version, *cells])
    return text.getvalue()


def _lines(path: Path) -> Rows:
    """The lines that are not blank, with their numbers counted from 1 as an editor does."""
    lines = read_cells(path, ("version",))
    if not lines:
        raise DataError(f"{path}: wanted the header version,<task>,..., got an empty file")
    return [(number, [cell.strip() for cell in cells]) for number, cells in lines]


def _header(path: Path, number: int, header: list[str]) -> tuple[str, ...]:
    place, first, tasks = f"{path}: row {number}", header[0], tuple(header[1:])
    if first != "version":
        raise DataError(f"{place}: wanted the header to start with 'version', got {first!r}")
    if not tasks:
        raise DataError(f"{place}: wanted at least one task after 'version', got none")
    if not all(tasks):
        raise DataError(f"{place}, column {tasks.index('') + 2}: wanted the name of a task, got an empty cell")
    return tasks


def _version(place: str, cell: str, tasks: int) -> int:
    wanted = f"wanted a whole number from 0 to {tasks} (the number of tasks)"
    if not (cell.isascii() and cell.isdecimal()) or len(cell) > 9 or int(cell) > tasks:
        raise DataError(f"{place}, column 'version': {wanted}, got {cell[:40]!r}")
    return int(cell)


def _score(place: str, cell: str) -> float:
    if not cell:
        return math.nan
    try:
        return number_of(cell)
    except ValueError as error:
        raise DataError(f"{place}: wanted a finite number or an empty cell, got {cell[:40]!r}{error}") from None
