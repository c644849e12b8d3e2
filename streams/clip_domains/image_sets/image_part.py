"""One part of a data set: its images and their classes; no image is decoded."""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clbench.core.errors import DataError
from clbench.kinds import png

if TYPE_CHECKING:
    from datasets import Dataset

STAT_CHUNK = 1024
"""Files per task of a thread pool: on a network disk, many requests run at the same time."""


@dataclass(frozen=True, eq=False)
class ImagePart:
    """Images of one split.

    Attributes:
        where: The file or folder that lists them, for messages.
        folder: Images are files below it; the images' own file where they are arrays.
        names: Path of each image relative to `folder`, or its row in the file of arrays.
        labels: `(n,)` int64.
        arrays: `(n, height, width)` or `(n, height, width, 3)` uint8; None where images are files.
    """

    where: Path
    folder: Path
    names: tuple[str, ...]
    labels: NDArray[np.int64]
    arrays: NDArray[np.uint8] | None = None

    def select(self, rows: Sequence[int] | NDArray[np.int64]) -> "ImagePart":
        """The part with only these rows, in this order."""
        rows = np.asarray(rows, dtype=np.int64)
        names = tuple(self.names[row] for row in rows)
        return replace(
            self, names=names, labels=self.labels[rows], arrays=None if self.arrays is None else self.arrays[rows]
        )

    @cached_property
    def sizes(self) -> list[int]:
        """Bytes of each image's file.

        Raises:
            DataError: When listed images are missing: the first by name, and how many.
        """
        paths = [f"{self.folder}/{name}" for name in self.names]
        chunks = [paths[start : start + STAT_CHUNK] for start in range(0, len(paths), STAT_CHUNK)]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            sizes = [size for chunk in pool.map(_sizes, chunks) for size in chunk]
        missing = [name for name, size in zip(self.names, sizes, strict=True) if size < 0]
        if missing:
            got = f"{len(missing)} of {len(sizes)} listed images are missing, the first is {missing[0]!r}"
            raise DataError(f"{self.folder}: {got} (listed in {self.where})")
        return sizes

    def digest(self, *words: object) -> str:
        """SHA-256 of the images and their labels, independent of the root.

        Images in files are hashed by path and size (reading gigabytes would take minutes), images in arrays by their
        contents.

        Args:
            words: Further values that are hashed.
        """
        digest = hashlib.sha256(repr(words).encode())
        digest.update("\0".join(self.names).encode())
        digest.update(self.labels.tobytes())
        if self.arrays is None:
            digest.update(np.asarray(self.sizes, dtype=np.int64).tobytes())
        else:
            digest.update(np.ascontiguousarray(self.arrays).tobytes())
        return digest.hexdigest()

    def rows(self, task: str, classes: Sequence[str]) -> "Dataset":
        """The rows `sample_id`, `image` (encoded) and `label`.

        Raises:
            DataError: When listed images are missing.
        """
        import pyarrow as pa
        from datasets import ClassLabel, Dataset, Features, Image, Value
        from datasets.table import InMemoryTable

        features = Features({"sample_id": Value("string"), "image": Image(), "label": ClassLabel(names=list(classes))})
        schema = features.arrow_schema
        columns = [[f"{task}/{name}" for name in numbered(self.names)], self._images(), self.labels]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
        return Dataset(InMemoryTable(pa.Table.from_arrays(arrays, schema=schema)))

    def _images(self) -> list[dict[str, object]]:
        if self.arrays is not None:
            return [{"bytes": png(image), "path": None} for image in self.arrays]
        assert self.sizes  # raises for missing images, in one line
        return [{"bytes": None, "path": str(self.folder / name)} for name in self.names]


def new_part(
    where: Path,
    folder: Path,
    names: Sequence[str],
    labels: Sequence[int] | NDArray[np.int64],
    arrays: NDArray[np.uint8] | None = None,
) -> ImagePart:
    """The part that a file or folder lists.

    Args:
        where: The file or folder that lists the images, for messages.
        folder: Folder of the images, or the file that holds them as arrays.
        names: Paths of the images relative to `folder`, or their rows in the file.
        labels: Class of each image, `(n,)`.
        arrays: `(n, height, width)` or `(n, height, width, 3)` uint8; None where images are files.

    Raises:
        DataError: When it lists no images, one twice or one elsewhere.
    """
    if not len(names):
        raise DataError(f"{where}: lists no images")
    outside = next((name for name in names if not _is_below(name)), None)
    if outside is not None:
        raise DataError(f"{where}: lists {outside!r}, which is no path below the folder of the images")
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise DataError(f"{where}: {name!r} is listed {count} times")
    return ImagePart(where, folder, tuple(names), np.asarray(labels, dtype=np.int64), arrays)


def _is_below(name: str) -> bool:
    """Whether a listed path stays in its folder and can be the name of a file."""
    return name.isprintable() and not {"", ".", ".."} & set(name.split("/"))


def numbered(names: Sequence[str]) -> list[str]:
    """The names, each unique: an image that was drawn again gets the number of its repetition."""
    seen: Counter[str] = Counter()
    ids = []
    for name in names:
        ids.append(f"{name}#{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return ids


def _sizes(paths: Sequence[str]) -> list[int]:
    """Bytes of each file, -1 for one that is missing."""
    sizes = []
    for path in paths:
        try:
            sizes.append(os.stat(path).st_size)  # noqa: PTH116  # a hundred thousand Path objects cost a second
        except OSError:
            sizes.append(-1)
    return sizes
