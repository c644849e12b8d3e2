"""Which part an image is in: what the data say, else the hash of its patient, or of its path."""

import hashlib
from pathlib import Path

from clbench.spec.task import Split
from clbench.streams.ultrasound.labelled_image import Row

TRAINED = 0.7
VALIDATED = 0.1
"""Shares of the parts; the rest tests."""


def part_of(row: Row, root: Path) -> Split:
    """The part of an image: the one that the data name, or 70 % training, 10 % validation and 20 % test by SHA-256.

    All images of a patient have one hash, and so has an image that several tasks share, so nothing that one task
    trains on tests another. The hash of a patient, or of a path below the root where no patient is known, is the same
    for every seed and on every machine.
    """
    if row.split is not None:
        return row.split
    share = _share(row.patient or row.image.files[0].relative_to(root).as_posix())
    if share < TRAINED:
        return "train"
    return "validation" if share < TRAINED + VALIDATED else "test"


def train_or_validation(key: str) -> Split:
    """The part of an image that the publishers train on, where they name none to validate: a tenth, by the hash.

    Args:
        key: Its patient, or its name where no patient is known.
    """
    return "validation" if _share(key) >= 1 - VALIDATED else "train"


def _share(key: str) -> float:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64
