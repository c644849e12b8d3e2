"""BreastMNIST: the images of BUSI, reduced by MedMNIST, in one NumPy archive."""

import struct
import zipfile
import zlib
from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clbench.core.errors import DataError
from clbench.core.image_values import Array
from clbench.spec.task import Split
from clbench.streams.clip_domains.image_sets.set_location import SetLocation
from clbench.streams.image_files import entries
from clbench.streams.ultrasound.labelled_image import ImageFile, LabelledImage
from clbench.streams.ultrasound.sets.public_set import UltrasoundSet, natural_key, not_empty
from clbench.streams.ultrasound.task_sources import Answers

PARTS: dict[Split, str] = {"train": "train", "validation": "val", "test": "test"}
DAMAGES = (
    AttributeError,
    EOFError,
    IndexError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,  # of a file that is one array and no archive
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""Errors that NumPy raises for damaged archives and other files."""
CLASSES = ("malignant", "normal or benign")


def read(location: SetLocation, _task: str) -> list[LabelledImage]:
    """The largest of `breastmnist.npz` (28 pixels), `_64`, `_128` and `_224`, with the parts that it has.

    It shows the images of BUSI: do not put both into one stream.
    """
    file = max(entries(location.images, "breastmnist*.npz"), key=natural_key)
    arrays = _arrays(file, file.stat().st_mtime_ns)
    rows = []
    for split, part in PARTS.items():
        for number, label in enumerate(arrays[f"{part}_labels"]):
            image = ImageFile((file,), partial(_image, part=part, number=number))
            rows.append(
                LabelledImage(
                    f"{part}/{number:04d}", image, int(label), f"{file}: {part}_images[{number}]", split=split
                )
            )
    return not_empty(rows, file, "images")


def _image(file: Path, part: str, number: int) -> Array:
    return np.asarray(_arrays(file, file.stat().st_mtime_ns)[f"{part}_images"][number], dtype=np.uint8)


@lru_cache(maxsize=1)
def _arrays(file: Path, _time: int) -> Mapping[str, NDArray[Any]]:
    """Images and labels of each part, checked; its time is an argument so that a changed file is read again."""
    found: dict[str, NDArray[Any]] = {}
    try:
        with np.load(file, allow_pickle=False) as archive:
            damaged = archive.zip.testzip()  # reads every part to its end, where its checksum is compared
            if damaged is not None:
                raise DataError(f"{file}: damaged: the checksum of {damaged} is another one")
            for part in PARTS.values():
                for what in ("images", "labels"):
                    found[f"{part}_{what}"] = archive[f"{part}_{what}"]
    except KeyError as error:
        raise DataError(f"{file}: {error.args[0]}") from None
    except DAMAGES as error:
        raise DataError(f"{file}: damaged or no NumPy archive: {' '.join(str(error).split())}") from None
    for part in PARTS.values():
        images, labels = found[f"{part}_images"], found[f"{part}_labels"].reshape(-1)
        if images.dtype != np.uint8 or images.ndim != 3 or len(images) != len(labels):
            got = f"{images.shape} of {images.dtype} with {len(labels)}"
            raise DataError(f"{file}: {part}_images must be (n, height, width) bytes with n labels, got {got}")
        if not np.isin(labels, (0, 1)).all():
            raise DataError(f"{file}: {part}_labels must be 0 or 1")
        found[f"{part}_labels"] = labels
    return found


SET = UltrasoundSet(
    title="BreastMNIST",
    folders=("BreastMNIST", "breastmnist", "MedMNIST", "medmnist", ".medmnist"),
    images=(".",),
    witness="breastmnist*.npz",
    tasks={"classification": Answers(kind="classification", classes=CLASSES)},
    sizes={"classification": 780},
    read=read,
    source="https://zenodo.org/records/10519652",
    licence="CC-BY-4.0",
    citation="Yang, Shi, Wei, Liu, Zhao, Ke, Pfister, Ni: MedMNIST v2 - A large-scale lightweight benchmark for 2D and "
    "3D biomedical image classification. Scientific Data 10, 2023.",
)
