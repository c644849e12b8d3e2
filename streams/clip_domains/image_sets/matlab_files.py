"""Sets in MATLAB files: the annotations of Oxford Flowers and Stanford Cars, images and labels of SVHN."""

import struct
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clbench.core.errors import DataError
from clbench.spec.task import Split
from clbench.streams.clip_domains.image_sets.found_image_set import FoundImageSet, class_names
from clbench.streams.clip_domains.image_sets.image_part import ImagePart, new_part
from clbench.streams.clip_domains.image_sets.image_set_facts import ImageSetFacts
from clbench.streams.clip_domains.image_sets.set_location import SetLocation, unnested

HEADER, COMPRESSED = 128, 15
"""Bytes before the first part of a MATLAB file, and the type number of a compressed part."""

FLOWER_KEYS: dict[Split, str] = {"train": "trnid", "validation": "valid", "test": "tstid"}


def read_flowers(location: SetLocation, facts: ImageSetFacts) -> FoundImageSet:
    """Oxford Flowers; the files only number the classes, so their names are ours."""
    label_file, split_file = location.find("imagelabels.mat"), location.find("setid.mat")
    names = list(facts.classes.values())
    labels = _numbers(label_file, "labels", _variable(label_file, "labels"), len(names))
    classes = tuple(names[: int(labels.max(initial=0)) + 1])

    def part(key: str) -> ImagePart:
        rows = _numbers(split_file, key, _variable(split_file, key), len(labels))
        return new_part(split_file, location.images, [f"image_{row + 1:05d}.jpg" for row in rows], labels[rows])

    return FoundImageSet(location.folder, classes, {split: partial(part, key) for split, key in FLOWER_KEYS.items()})


def read_cars(location: SetLocation, facts: ImageSetFacts) -> FoundImageSet:
    """Stanford Cars; `cars_test_annos_withlabels.mat` is not in the devkit and has to be got separately."""
    meta = location.find("devkit/cars_meta.mat", "car_devkit/devkit/cars_meta.mat", "cars_meta.mat")
    raw = [str(name) for name in np.atleast_1d(_variable(meta, "class_names"))]

    def part(listings: tuple[str, ...], folder: str) -> ImagePart:
        listing = location.find(*listings)
        inside = unnested(location.images, folder)
        rows = np.atleast_1d(_variable(listing, "annotations"))
        fields = rows.dtype.names or ()
        if "fname" not in fields or "class" not in fields:
            raise DataError(f"{listing}: annotations lack the fields class and fname")
        labels = _numbers(listing, "class", rows["class"], len(raw))
        return new_part(listing, location.images, [f"{inside}/{name}" for name in rows["fname"]], labels)

    train = ("devkit/cars_train_annos.mat", "car_devkit/devkit/cars_train_annos.mat", "cars_train_annos.mat")
    test = ("cars_test_annos_withlabels.mat", "devkit/cars_test_annos_withlabels.mat")
    parts: dict[Split, Any] = {"train": partial(part, train, "cars_train"), "test": partial(part, test, "cars_test")}
    return FoundImageSet(location.folder, class_names(meta, raw, facts.classes), parts)


def read_svhn(location: SetLocation, facts: ImageSetFacts) -> FoundImageSet:
    """SVHN, the cropped digits; label 10 of the data is the digit 0."""

    def part(split: Split) -> ImagePart:
        where = location.find(f"{split}_32x32.mat")
        found = np.asarray(_variable(where, "X"))
        if found.ndim != 4 or found.shape[:3] != (32, 32, 3) or found.dtype != np.uint8:
            raise DataError(f"{where}: X must be 32 x 32 x 3 x n bytes, got {found.shape} of {found.dtype}")
        labels = _numbers(where, "y", _variable(where, "y"), 10) + 1
        if len(labels) != found.shape[3]:
            raise DataError(f"{where}: {found.shape[3]} images, but {len(labels)} labels")
        names = [f"{split}/{row:05d}" for row in range(len(labels))]
        return new_part(where, where, names, labels % 10, found.transpose(3, 0, 1, 2))

    parts: dict[Split, Any] = {"train": partial(part, "train"), "test": partial(part, "test")}
    return FoundImageSet(location.folder, tuple(facts.classes.values()), parts)


def _numbers(path: Path, name: str, values: Any, most: int) -> NDArray[np.int64]:
    """A list of numbers from 1 to `most`, counted from 0."""
    try:
        numbers = np.atleast_1d(values).astype(np.int64).ravel()
    except (ValueError, TypeError, OverflowError):
        raise DataError(f"{path}: {name} must be numbers, got {str(values)[:80]!r}") from None
    if numbers.min(initial=1) < 1 or numbers.max(initial=1) > most:
        raise DataError(f"{path}: {name} must be 1 to {most}, got {numbers.min()} to {numbers.max()}")
    return numbers - 1


def _variable(path: Path, name: str) -> Any:
    """One variable of a MATLAB file, lists of length one squeezed (`loadmat` runs no code)."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    damages = (OSError, EOFError, ValueError, TypeError, LookupError, ArithmeticError, NameError, NotImplementedError)
    try:
        _compare_sums(path.read_bytes())
        values = loadmat(path, squeeze_me=True, variable_names=[name])
    except (*damages, MatReadError, zlib.error) as error:
        raise DataError(f"{path}: damaged or not a MATLAB file: {' '.join(str(error).split())}") from None
    if name not in values:
        raise DataError(f"{path}: the variable {name!r} is missing")
    return values[name]


def _compare_sums(data: bytes) -> None:
    """Unpack each compressed part, which compares its checksum: damaged parts can crash scipy's reader.

    A file of version 5 has a header, then parts of kind, size and content (MAT-File Format, MathWorks, ch. 1).
    """
    tag = "<II" if data[126:128] == b"IM" else ">II"
    start = HEADER
    while start < len(data):
        kind, size = struct.unpack(tag, data[start : start + 8].ljust(8, b"\0"))
        if kind != COMPRESSED and start == HEADER:
            return  # a file without compression has no checksums
        if kind != COMPRESSED or start + 8 + size > len(data):
            raise ValueError(f"no whole part at byte {start}")
        zlib.decompress(data[start + 8 : start + 8 + size])
        start += 8 + size
