"""Images of a split, decoded once, and their truth, checked: what learners of images encode and what scores read."""

import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from clbench.core.errors import DataError
from clbench.core.image_reading import ImageCell, name_of, read_ids, source_of
from clbench.core.image_rows import decode_each
from clbench.spec.task import Task

if TYPE_CHECKING:
    from datasets import Dataset

TYPES: dict[str, pa.DataType] = {
    "size": pa.list_(pa.int32()),
    "mask": pa.binary(),
    "boxes": pa.list_(pa.list_(pa.float64())),
    "points": pa.list_(pa.list_(pa.float64())),
    "value": pa.float64(),
}
"""Columns of `Samples.truth`."""


def decode_rows(rows: "Dataset", task: Task, take: Callable[[int, Image.Image], None]) -> dict[str, pa.Array]:
    """Decode every image, pass it on, and check its truth.

    Args:
        rows: Rows with the columns of the task's kind and `sample_id`; messages name the place in an optional column
            `where`.
        task: The task, whose classes, boxes and points the truth is checked against.
        take: Called with the position of a row and its image (RGB, in its own size), from several threads.

    Returns:
        The columns of `Samples.truth`: `size` (height and width), and those of `mask` (PNG of class ids, as large as
        the image), `boxes`, `points` and `value` that the kind has.

    Raises:
        BrokenSamplesError: For rows that do not decode or whose truth does not fit their image: their positions, and
            the sample id, place and reason of the first.
    """

    def read(index: int, image: Image.Image, row: Mapping[str, Any]) -> dict[str, object]:
        truth = {"size": [image.height, image.width], **_truth(row, image.height, image.width, task)}
        take(index, image)
        return truth

    truths = decode_each(rows, read)
    return {name: pa.array([truth[name] for truth in truths], TYPES[name]) for name in truths[0]}


def png(image: NDArray[np.uint8]) -> bytes:
    """An image `(height, width)` or `(height, width, 3)` as a PNG, compressed quickly."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png", compress_level=1)
    return buffer.getvalue()


def _truth(row: Mapping[str, Any], height: int, width: int, task: Task) -> dict[str, object]:
    if task.kind == "segmentation":
        return {"mask": png(_mask(row["mask"], (height, width), task))}
    if task.kind == "detection":
        _check_boxes(row["boxes"], height, width, task)
        return {"boxes": row["boxes"]}
    if task.kind == "regression":
        return {name: row[name] for name in ("points" if task.points else "value",)}
    return {}


def _mask(cell: ImageCell, size: tuple[int, int], task: Task) -> NDArray[np.uint8]:
    """The class ids of a mask, as large as its image."""
    name = name_of(cell, "the mask")
    values = read_ids(source_of(cell, "the mask"), name)
    if values.shape != size:
        raise DataError(f"{name} is {_size(values.shape)}, its image is {_size(size)}")
    largest = values.max()
    if largest >= len(task.classes):
        raise DataError(f"{name} has the class {largest}, which the card does not know (0 to {len(task.classes) - 1})")
    if largest == 0 and not task.empty_masks:
        raise DataError(f"{name} is empty (`empty_masks: true` in the task's source allows that)")
    return values


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[0]} pixels"


def _check_boxes(boxes: list[list[float]], height: int, width: int, task: Task) -> None:
    if not 1 <= len(boxes) <= task.boxes:
        raise DataError(f"wanted 1 to {task.boxes} boxes, got {len(boxes)}")
    for box in boxes:
        x_min, y_min, x_max, y_max = box
        if not (0 <= x_min < x_max <= width and 0 <= y_min < y_max <= height):
            raise DataError(f"the box {box} is empty or not inside the image of {_size((height, width))}")
