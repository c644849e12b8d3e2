"""The layout of the challenge FMC_UIA: CSV files that name images relative to their own folder."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias, cast

from clbench.core.errors import DataError
from clbench.kinds import TASK_KINDS
from clbench.spec.task import SPLITS, Split
from clbench.streams.image_files import entries
from clbench.streams.missing_data import MissingSetError
from clbench.streams.ultrasound.csv_rows import CsvRow, read_csv
from clbench.streams.ultrasound.formats.by_name import image_in
from clbench.streams.ultrasound.labelled_image import LabelledImage, Truth
from clbench.streams.ultrasound.task_sources import Answers

FOLDER = "csv_files"
BOX = ("x_min", "y_min", "x_max", "y_max")

Key: TypeAlias = tuple[Path, int | None]
"""A file, and the frame that a row names; None where it names none."""


def read_tasks(root: Path) -> dict[str, list[CsvRow]]:
    """The rows of all CSV files below a root, by their `task_id`, in the order of the files' names.

    Raises:
        DataError: When there are none, or one is damaged or has no `task_id`.
    """
    folder = root / FOLDER
    if not root.is_dir():
        raise DataError(f"{root}: no such folder (wanted the folder with {FOLDER} in it)")
    files = list(entries(folder, "*.csv"))
    if not files:
        raise DataError(f"{root}: wanted CSV files in a folder {FOLDER}, got none")
    found = defaultdict[str, list[CsvRow]](list)
    for file in files:
        for row in read_csv(file, ("task_id", "image_path")):
            found[row.text("task_id").strip()].append(row)
    return dict(found)


def rows_of(root: Path, task_id: str, listed: Sequence[CsvRow], answers: Answers) -> list[LabelledImage]:
    """The images of a task; no file is opened.

    Args:
        root: Folder with `csv_files` in it.
        task_id: Id of the task in the CSV files.
        listed: Rows with that id.
        answers: Kind of the answers: classes, boxes, points or a value.

    Raises:
        DataError: When there are none, or a row is not what the task asks for, naming file and row.
    """
    if not listed:
        raise MissingSetError(f"{root / FOLDER}: no CSV file has rows whose task_id is {task_id!r}")
    for row in listed:
        _check_kind(row, answers)
    images = [(_below(root, row, "image_path"), _frame(row)) for row in listed]
    groups = _grouped(images, listed, answers)
    names = _names(root, groups)
    return [
        LabelledImage(name, image_in(*key), _truth(root, rows, answers), rows[0].where, _patient(rows), _split(rows))
        for name, (key, rows) in zip(names, groups.items(), strict=True)
    ]


def _grouped(images: Sequence[Key], listed: Sequence[CsvRow], answers: Answers) -> dict[Key, list[CsvRow]]:
    """The rows of each image: one, or one a box."""
    allowed = answers.boxes  # 1 for kinds without boxes
    groups = defaultdict[Key, list[CsvRow]](list)
    for key, row in zip(images, listed, strict=True):
        groups[key].append(row)
        if len(groups[key]) > allowed:
            first, more = groups[key][0].where, f"with more than {allowed} boxes" if allowed > 1 else "more than once"
            raise DataError(f"{row.where}: {key[0]} is listed {more} for one task, first in {first}")
    return groups


def _check_kind(row: CsvRow, answers: Answers) -> None:
    kind = row.text("task_name").strip().lower()
    if kind != answers.kind:
        known = kind if kind in TASK_KINDS.names() else repr(kind[:60])
        raise DataError(f"{row.where}: task_name: the card wants {answers.kind}, got {known}")
    wanted = answers.points or len(answers.classes)
    if wanted and row.optional("num_classes") and row.count_in("num_classes") != wanted:
        raise DataError(f"{row.where}: num_classes: the card wants {wanted}, got {row.count_in('num_classes')}")


def _truth(root: Path, rows: Sequence[CsvRow], answers: Answers) -> Truth:
    row = rows[0]
    if answers.column == "label":
        label = row.count_in("mask")
        if not 0 <= label < len(answers.classes):
            raise DataError(f"{row.where}: mask: wanted a class 0 to {len(answers.classes) - 1}, got {label}")
        return label
    if answers.column == "mask":
        return image_in(_below(root, row, "mask_path"), _frame(row), mask=True)
    if answers.column == "boxes":
        return tuple(_box(row) for row in rows)
    if answers.column == "points":
        return tuple(row.point_in(f"point_{number}_xy") for number in range(1, answers.points + 1))
    return _value(row, answers)


def _value(row: CsvRow, answers: Answers) -> float:
    assert answers.value_range is not None  # regression without points has one
    value, (least, largest) = row.number_in("value"), answers.value_range
    if not least <= value <= largest:
        raise DataError(f"{row.where}: value: the card wants {least:g} to {largest:g}, got {value:g}")
    return value


def _box(row: CsvRow) -> tuple[float, ...]:
    x_min, y_min, x_max, y_max = box = tuple(row.number_in(column) for column in BOX)
    if x_min >= x_max or y_min >= y_max:
        raise DataError(f"{row.where}: the box is empty: x from {x_min:g} to {x_max:g}, y from {y_min:g} to {y_max:g}")
    return box


def _patient(rows: Iterable[CsvRow]) -> str:
    return _agreed(rows, "patient")


def _split(rows: Iterable[CsvRow]) -> Split | None:
    """The part that an image's rows name, if they name one."""
    for row in rows:
        text = row.optional("split").lower()
        if text and text not in SPLITS:
            raise DataError(f"{row.where}: split: wanted one of {', '.join(SPLITS)}, got {text[:60]!r}")
    named = _agreed(rows, "split").lower()
    return cast(Split, named) if named else None


def _agreed(rows: Iterable[CsvRow], column: str) -> str:
    """The value of a column on which all rows of an image agree; empty where none has one."""
    named = {row.optional(column): row for row in rows}
    if len(named) > 1:
        where = list(named.values())[-1].where
        raise DataError(f"{where}: {column}: the rows of one image differ: {', '.join(map(repr, sorted(named)))}")
    return next(iter(named))


def _frame(row: CsvRow) -> int | None:
    return row.count_in("frame") if row.optional("frame") else None


def _below(root: Path, row: CsvRow, column: str) -> Path:
    """The path in a cell, which is relative to the folder of the CSV file and must stay below the root."""
    text = row.text(column)
    path = Path(os.path.normpath(root / FOLDER / text))
    if not path.is_relative_to(root) or path == root or any(ord(letter) < 32 for letter in text):
        raise DataError(f"{row.where}: {column} {text[:100]!r} is no path of a file below {root}")
    return path


def _names(root: Path, images: Iterable[Key]) -> list[str]:
    """Stems of files, or whole paths below the root where two files share a stem; then the number of the frame."""
    images = list(images)
    stems = Counter(path.stem for path in {path for path, _ in images})
    named = [path.stem if stems[path.stem] == 1 else path.relative_to(root).as_posix() for path, _ in images]
    return [name if frame is None else f"{name}#{frame}" for name, (_, frame) in zip(named, images, strict=True)]
