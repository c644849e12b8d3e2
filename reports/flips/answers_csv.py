"""A CSV file of answers: `id,task,target,prediction`."""

from collections.abc import Iterator
from pathlib import Path

from clbench.core.csv_files import read_cells
from clbench.core.errors import DataError, did_you_mean
from clbench.reports.flips.answers import Answer, to_predictions
from clbench.reports.flips.predictions import Predictions
from clbench.reports.leaderboard.text import encodable

NEEDED = ("id", "task", "target", "prediction")
PROTOCOL = "exact match"


def read_answers_csv(path: Path) -> Predictions:
    """Read a CSV file with a row for each answer; other columns than the four are not read.

    An answer is right if it equals the target, blanks around both aside. An empty prediction is a wrong answer.

    Raises:
        DataError: For a file that is missing or not such a table, a row without id, task or target, or a sample that is
            there twice.
    """
    rows = read_cells(path, NEEDED)
    if not rows:
        raise DataError(f"{path}: no rows: wanted the columns {', '.join(NEEDED)}")
    names = [name.strip() for name in rows[0][1]]
    missing = next((name for name in NEEDED if name not in names), None)
    if missing is not None:
        raise DataError(f"{path}: no column {missing!r}: {did_you_mean(missing, names)}")
    places = [names.index(name) for name in NEEDED]
    return to_predictions(encodable(str(path)), _answers(path, rows[1:], places), PROTOCOL)


def _answers(path: Path, rows: list[tuple[int, list[str]]], places: list[int]) -> Iterator[Answer]:
    first: dict[tuple[str, str], int] = {}
    for number, cells in rows:
        sample, task, target, prediction = (cells[place].strip() for place in places)
        empty = next((name for name, cell in zip(NEEDED, (sample, task, target), strict=False) if not cell), None)
        if empty is not None:
            raise DataError(f"{path}: row {number}: {empty} is empty")
        before = first.setdefault((task, sample), number)
        if before != number:
            raise DataError(f"{path}: row {number}: sample {sample!r} of task {task!r} is in row {before}, too")
        yield Answer(task, sample, target, prediction, float(prediction == target))
