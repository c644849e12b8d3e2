"""Which part a picture is in: what the data say, else the hash of its patient, or of its path."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from clbench.contracts.task import Split
from clbench.errors import DataError
from clbench.streams.ultrasound.pictures import Row

TRAINED = 0.7
VALIDATED = 0.1
"""Shares of the parts; the rest tests."""


def part_of(row: Row, root: Path) -> Split:
    """The part of a picture: the one that the data name, or 70 % training, 10 % validation and 20 % test by SHA-256.

    All pictures of a patient have one hash, and so has a picture that several tasks share, so nothing that one task
    trains on tests another. The hash of a patient, or of a path below the root where no patient is known, is the same
    for every seed and on every machine.
    """
    if row.split is not None:
        return row.split
    key = row.patient or row.picture.files[0].relative_to(root).as_posix()
    share = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64
    if share < TRAINED:
        return "train"
    return "validation" if share < TRAINED + VALIDATED else "test"


def refuse_shared_patients(rows: Iterable[Row], root: Path) -> None:
    """Look for patients in two parts, over all tasks of a stream.

    Raises:
        DataError: For the first one, naming both rows.
    """
    first: dict[str, tuple[Split, str]] = {}
    for row in rows:
        if row.patient:
            part = part_of(row, root)
            other, where = first.setdefault(row.patient, (part, row.where))
            if other != part:
                raise DataError(f"{row.where}: patient {row.patient!r} is in {part!r}, but in {other!r} in {where}")
