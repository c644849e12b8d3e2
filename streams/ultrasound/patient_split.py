"""The part of an image: the one that the data name, else by the hash of its patient or path."""

import hashlib
from pathlib import Path

from clbench.spec.task import Split
from clbench.streams.ultrasound.labelled_image import LabelledImage

TRAINED = 0.7
VALIDATED = 0.1
"""Shares of the parts; the rest is for testing."""


def part_of(row: LabelledImage, root: Path) -> Split:
    """The part of an image: the one that the data name, or 70 % training, 10 % validation and 20 % test by SHA-256.

    All images of a patient have one hash, and so has an image that several tasks share. So no image of one task's
    training part is in another task's test part. The hash of a patient, or of a path below the root where no patient
    is known, is the same for every seed and on every machine.
    """
    if row.split is not None:
        return row.split
    share = _share(row.patient or row.image.files[0].relative_to(root).as_posix())
    if share < TRAINED:
        return "train"
    return "validation" if share < TRAINED + VALIDATED else "test"


def train_or_validation(key: str) -> Split:
    """The part of a published training image where no validation part is published: a tenth validates, by the hash.

    Args:
        key: Patient of the image, or its name where no patient is known.
    """
    return "validation" if _share(key) >= 1 - VALIDATED else "train"


def _share(key: str) -> float:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64
