"""Images with a label, a mask, boxes, points or a value in Parquet: `<task>/{train,validation,test}.parquet`."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, final

import pyarrow as pa

from clbench.core.errors import DataError
from clbench.core.registry import LOADERS
from clbench.spec.stream import Stream
from clbench.spec.task import SPLITS, Split
from clbench.streams.card import DataChoice, StreamCard
from clbench.streams.loaders._parquet_files import ParquetParts, folder_of
from clbench.streams.ultrasound.task_sources import Answers, answers_of, task_of
from clbench.streams.ultrasound.ultrasound_tasks import refuse_shared_patients

if TYPE_CHECKING:
    from datasets import Dataset

PATIENTS = pa.schema([("sample_id", pa.string()), ("patient", pa.string())])
NUMBERS = {"boxes": ("boxes [x_min, y_min, x_max, y_max]", 4), "points": ("points [x, y]", 2)}
"""Columns of lists of numbers: what messages call their items, and how many numbers an item has."""


@LOADERS.register("labelled-image-parquet", config=Answers)
def load_labelled_image_parquet(card: StreamCard, choice: DataChoice) -> Stream:
    """A stream of image tasks of several kinds from Parquet files; images are read when they are needed.

    Each file has the columns `sample_id`, `image` (Image), `patient` (text, empty where unknown) and one column of the
    truth: `label` (ClassLabel), `mask` (Image of class ids), `boxes`, `points` (lists of lists of numbers, pixels) or
    `value` (number).

    Raises:
        ConfigError: For a task with an invalid source.
        DataError: When a file is missing, damaged or lacks a column, or a patient is in two parts.
    """
    folder = folder_of(card, choice)
    found = []
    for task in card.tasks:
        answers = answers_of(card, task, Answers)
        files = ParquetParts(folder / task.name, ("sample_id", "image", "patient", answers.column))
        found.append(LabelledParts(files, answers))
        found[-1].check_classes()
    refuse_shared_patients(chain.from_iterable(parts.patients() for parts in found))
    tasks = tuple(
        task_of(task, parts.answers, parts.load, parts.fingerprint)
        for task, parts in zip(card.tasks, found, strict=True)
    )
    return Stream(card.name, tasks, card.protocols, card.learner, card.model_dump(mode="json"))


@final
@dataclass(frozen=True)
class LabelledParts:
    """The three files of a task.

    Attributes:
        files: The files, with the columns that they must have.
        answers: Kind of the answers: classes, boxes, points or a value.
    """

    files: ParquetParts
    answers: Answers

    def check_classes(self) -> None:
        """Compare the class names of the files with those of the card.

        Raises:
            DataError: When a file is missing, damaged or lacks a column, or the names differ.
        """
        got = self.files.classes
        if self.answers.column == "label" and got != self.answers.classes:
            wanted = ", ".join(self.answers.classes)
            raise DataError(f"{self.files.folder}: the card wants the classes {wanted}, got {', '.join(got)}")

    def patients(self) -> Iterator[tuple[str, Split, str]]:
        """Patient, part and place of each row; no image is read.

        Raises:
            DataError: When a file is damaged, or a row has no patient.
        """
        for split in SPLITS:
            names = self.files.read(split, PATIENTS)["patient"].to_pylist()
            yield from ((name, split, self._place(split, row)) for row, name in enumerate(names))

    def fingerprint(self, split: Split) -> str:
        """A hash of a part's file and of what is asked of its images."""
        return hashlib.sha256(f"{self.files.fingerprint(split)} {self.answers!r}".encode()).hexdigest()

    def load(self, split: Split) -> "Dataset":
        """The rows `sample_id`, `image`, `patient`, `where` (file and row) and the truth.

        Raises:
            DataError: When the file is damaged, or a truth cannot be one of the task.
        """
        from datasets import Dataset
        from datasets.table import InMemoryTable

        column, features = self.answers.column, self.answers.features
        stored = pa.schema([field for field in features.arrow_schema if field.name != "where"])
        table = self.files.read(split, stored)
        if column in NUMBERS or column == "value":
            for row, truth in enumerate(table[column].to_pylist()):
                self._check(truth, self._place(split, row))
        places = pa.array([self._place(split, row) for row in range(len(table))], pa.string())
        table = table.append_column("where", places).select(list(features)).cast(features.arrow_schema)
        return Dataset(InMemoryTable(table))

    def _place(self, split: Split, row: int) -> str:
        return f"{self.files.path(split)}: row {row}"

    def _check(self, truth: Any, where: str) -> None:
        """Refuse values outside the card's range, and lists of a wrong length; `decode_rows` checks the rest."""
        if self.answers.value_range is not None:
            least, most = self.answers.value_range
            if not least <= truth <= most:
                raise DataError(f"{where}: value: the card wants {least:g} to {most:g}, got {truth:g}")
            return
        column = self.answers.column
        (what, length), points = NUMBERS[column], self.answers.points
        if (points and len(truth) != points) or not all(_is_numbers(item, length) for item in truth):
            raise DataError(f"{where}: {column}: wanted {points or 'a list of'} {what}, got {str(truth)[:80]}")


def _is_numbers(item: Sequence[float | None] | None, length: int) -> bool:
    """Whether an item is a list of `length` finite numbers."""
    return item is not None and len(item) == length and all(v is not None and math.isfinite(v) for v in item)
