"""The images of a split, decoded in parallel; rows that do not decode are reported together."""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from PIL import Image

from clbench.core.errors import BrokenSamplesError, DataError
from clbench.core.image_reading import read_cell, undecoded

if TYPE_CHECKING:
    from datasets import Dataset

T = TypeVar("T")


def decode_each(rows: "Dataset", read: Callable[[int, Image.Image, Mapping[str, Any]], T]) -> list[T]:
    """Decode the image of every row and collect what a function makes of it.

    Args:
        rows: Rows with columns `image` and `sample_id`; messages name the place in the column `where`, if there is one.
        read: Called with the position of a row, its image (RGB, in its own size) and the row, from several threads. A
            `DataError` that it raises marks the row as broken.

    Returns:
        One result per row, in order.

    Raises:
        BrokenSamplesError: For rows that do not decode or that `read` refuses: their positions, and the sample id,
            place and reason of the first.
    """
    columns: Mapping[str, Any] = undecoded(rows)[:]
    reasons: dict[int, str] = {}

    def decode(index: int) -> T | None:
        row = {name: column[index] for name, column in columns.items()}
        try:
            return read(index, read_cell(row["image"]), row)
        except DataError as error:
            place = f"{row['where']}: " if row.get("where") else ""
            reasons[index] = f"sample {row['sample_id']!r}: {place}{' '.join(str(error).split())}"
        return None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(decode, range(len(rows))))
    if reasons:
        raise BrokenSamplesError(reasons[min(reasons)], sorted(reasons))
    return found  # type: ignore[return-value]  # no row is None without a reason
