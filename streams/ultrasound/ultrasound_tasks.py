"""Tasks made from rows: their parts, fingerprints and Arrow columns."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clbench.core.errors import DataError
from clbench.spec.task import SPLITS, Split, Task
from clbench.streams.card import TaskCard
from clbench.streams.clip_domains.image_sets.image_part import ImagePart
from clbench.streams.ultrasound.labelled_image import ImageFile, LabelledImage
from clbench.streams.ultrasound.patient_split import part_of
from clbench.streams.ultrasound.task_sources import Answers, task_of

if TYPE_CHECKING:
    from datasets import Dataset

BROKEN: dict[str, object] = {"bytes": b"", "path": None}
"""Cell of an image that could not be read; decoding reports it as broken, and `skip_broken` leaves it out."""


@dataclass(frozen=True, eq=False)
class TaskRows:
    """The images of a task.

    Attributes:
        task: Name of the task.
        answers: Kind of the answers: classes, boxes, points or a value.
        root: Folder of the data.
        where: File or folder that lists the images, for messages.
        rows: All images.
    """

    task: str
    answers: Answers
    root: Path
    where: Path
    rows: Sequence[LabelledImage]

    @cached_property
    def parts(self) -> Mapping[Split, list[LabelledImage]]:
        """The rows of each part, in their order."""
        found: dict[Split, list[LabelledImage]] = {split: [] for split in SPLITS}
        for row in self.rows:
            found[part_of(row, self.root)].append(row)
        return found

    def fingerprint(self, split: Split) -> str:
        """A hash of a part: paths and sizes of its files, and their truths.

        Raises:
            DataError: When listed images are missing.
        """
        truths = [
            (row.name, row.patient, () if isinstance(row.truth, ImageFile) else row.truth) for row in self.parts[split]
        ]
        return self._files(split).digest(split, self.answers, truths)

    def load(self, split: Split) -> "Dataset":
        """The rows `sample_id`, `image`, `patient`, `where` and the truth; files that Pillow reads stay closed.

        Raises:
            DataError: When listed images are missing.
        """
        from datasets import Dataset
        from datasets.table import InMemoryTable
        from pyarrow import Table, array

        assert self._files(split).sizes is not None  # raises for missing images, in one line
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            made = list(pool.map(self._columns, self.parts[split]))
        schema = self.answers.features.arrow_schema
        arrays = [array([row[field.name] for row in made], field.type) for field in schema]
        return Dataset(InMemoryTable(Table.from_arrays(arrays, schema=schema)))

    def made(self, card: TaskCard) -> Task:
        """The task of a card, read from these rows."""
        return task_of(card, self.answers, self.load, self.fingerprint)

    def patients(self) -> Iterator[tuple[str, Split, str]]:
        """Patient, part and place of each row."""
        for split, rows in self.parts.items():
            yield from ((row.patient, split, row.where) for row in rows)

    def _files(self, split: Split) -> ImagePart:
        names = dict.fromkeys(file.relative_to(self.root).as_posix() for row in self.parts[split] for file in row.files)
        return ImagePart(self.where, self.root, tuple(names), np.zeros(len(names), dtype=np.int64))

    def _columns(self, row: LabelledImage) -> dict[str, Any]:
        """The cells of a row; if an image cannot be read, the reason is appended to `where`."""
        columns = {"sample_id": f"{self.task}/{row.name}", "patient": row.patient, "where": row.where}
        return {**columns, **self._cells(row)}

    def _cells(self, row: LabelledImage) -> dict[str, Any]:
        broken: dict[str, Any] = {}
        cells: dict[str, Any] = {"image": row.image, self.answers.column: row.truth}
        for key, value in cells.items():
            if isinstance(value, ImageFile):
                try:
                    cells[key] = value.cell()
                except DataError as error:
                    cells[key] = BROKEN
                    broken.setdefault("where", f"{row.where}: {error}")
        return cells | broken


def refuse_shared_patients(rows: Iterable[tuple[str, Split, str]]) -> None:
    """Refuse a patient who is in two parts.

    Args:
        rows: Patient (empty where unknown), part and place of each image, over all tasks of a stream.

    Raises:
        DataError: For the first such patient, naming both places.
    """
    first: dict[str, tuple[Split, str]] = {}
    for patient, split, where in rows:
        earlier, place = first.setdefault(patient, (split, where)) if patient else (split, "")
        if earlier != split:
            raise DataError(f"{where}: patient {patient!r} is in {split!r}, but in {earlier!r} in {place}")
