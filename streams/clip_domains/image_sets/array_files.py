"""Sets whose images are arrays in few files: MNIST (idx) and CIFAR-100 (its binary version)."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clbench.core.errors import DataError
from clbench.core.storage import read_unpacked
from clbench.spec.task import Split
from clbench.streams.clip_domains.image_sets.found_image_set import FoundImageSet, class_names, read_lines
from clbench.streams.clip_domains.image_sets.image_part import ImagePart, new_part
from clbench.streams.clip_domains.image_sets.image_set_facts import ImageSetFacts
from clbench.streams.clip_domains.image_sets.set_location import SetLocation

MNIST_FILES: dict[Split, str] = {"train": "train", "test": "t10k"}
CIFAR_RECORD = 2 + 3 * 32 * 32
"""Bytes of a record: coarse label, fine label, red, green and blue plane."""


def read_mnist(location: SetLocation, facts: ImageSetFacts) -> FoundImageSet:
    """MNIST in LeCun's idx files, packed or unpacked."""

    def part(split: Split, stem: str) -> ImagePart:
        where = location.find(f"{stem}-images-idx3-ubyte", f"{stem}-images-idx3-ubyte.gz")
        images = _idx(where, 3)
        labels = _idx(location.find(f"{stem}-labels-idx1-ubyte", f"{stem}-labels-idx1-ubyte.gz"), 1)
        return _part(split, where, images, labels, len(facts.classes))

    parts = {split: partial(part, split, stem) for split, stem in MNIST_FILES.items()}
    return FoundImageSet(location.folder, tuple(facts.classes.values()), parts)


def read_cifar(location: SetLocation, facts: ImageSetFacts) -> FoundImageSet:
    """CIFAR-100 with its fine labels."""
    file = location.find("fine_label_names.txt")
    raw = read_lines(file)

    def part(split: Split) -> ImagePart:
        where = location.find(f"{split}.bin")
        data = np.frombuffer(read_unpacked(where), dtype=np.uint8)
        if not len(data) or len(data) % CIFAR_RECORD:
            raise DataError(f"{where}: damaged: wanted records of {CIFAR_RECORD} bytes, got {len(data)} bytes")
        records = data.reshape(-1, CIFAR_RECORD)
        images = records[:, 2:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        return _part(split, where, images, records[:, 1], len(raw))

    parts: dict[Split, Callable[[], ImagePart]] = {"train": partial(part, "train"), "test": partial(part, "test")}
    return FoundImageSet(location.folder, class_names(file, raw, facts.classes), parts)


def _part(split: Split, where: Path, images: NDArray[np.uint8], labels: NDArray[np.uint8], classes: int) -> ImagePart:
    if len(labels) != len(images):
        raise DataError(f"{where}: {len(images)} images, but {len(labels)} labels")
    if labels.max(initial=0) >= classes:
        raise DataError(f"{where}: labels must be 0 to {classes - 1}, got {labels.max()}")
    return new_part(where, where, [f"{split}/{row:05d}" for row in range(len(labels))], labels.astype(np.int64), images)


def _idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """An idx file of unsigned bytes: magic number, sizes as big-endian int32, values."""
    data = read_unpacked(path)
    start = 4 + 4 * dimensions
    shape = tuple(int(size) for size in np.frombuffer(data[4:start], dtype=">i4")) if len(data) >= start else ()
    if data[:4] != bytes((0, 0, 8, dimensions)) or len(data) - start != int(np.prod(shape)):
        raise DataError(f"{path}: damaged or not an idx file of {dimensions} dimensions ({len(data)} bytes)")
    return np.frombuffer(data, dtype=np.uint8, offset=start).reshape(shape)
