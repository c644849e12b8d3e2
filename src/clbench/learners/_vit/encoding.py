"""Rows of images as tensors of one size, with their targets."""

import io
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from clbench.contracts import Samples, Task
from clbench.learners._shared.classes import labels_of
from clbench.scoring.images.truth import decode_rows

if TYPE_CHECKING:
    from datasets import Dataset


def encoded(rows: "Dataset", task: Task, size: int) -> Samples:
    """Resize images to a square, each axis by its own factor, so that nothing is cut off; and encode their targets.

    `image` is `(n, 3, size, size)` uint8. Targets: `label` `(n,)` int64; `mask` `(n, size, size)` uint8 class ids, by
    the nearest pixel; `boxes` `(n, task.boxes, 4)` and `points` `(n, points, 2)` float32, fractions of width and
    height, with rows of zeros as padding of boxes; `value` `(n,)` float32. `mirror` `(n,)` bool says whether left and
    right may be exchanged: yes in detection and in segmentation of one class; other classes and keypoints may mean a
    side.

    Args:
        rows: Rows with the columns of the task's kind.
        task: The task that the rows belong to.
        size: Side of the square in pixels.

    Raises:
        BrokenSamplesError: For rows that do not decode or whose truth is impossible.
        DataError: For a label outside the task's classes.
    """
    images = np.empty((len(rows), size, size, 3), dtype=np.uint8)

    def take(index: int, image: Image.Image) -> None:
        images[index] = np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))

    truth = decode_rows(rows, task, take)
    may_mirror = task.kind == "detection" or (task.kind == "segmentation" and len(task.classes) == 2)
    tensors = {
        "image": torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(),
        "mirror": torch.full((len(rows),), may_mirror),
        **_targets(rows, truth, task, size),
    }
    return Samples(pa.array(rows["sample_id"][:], pa.string()), tensors, truth=truth)


def _targets(rows: "Dataset", truth: dict[str, pa.Array], task: Task, size: int) -> dict[str, Tensor]:
    if task.kind == "classification":
        return {"label": labels_of(rows, task)}
    if "mask" in truth:
        masks = [_mask(data, size) for data in truth["mask"].to_pylist()]
        return {"mask": torch.from_numpy(np.stack(masks))}
    if "value" in truth:
        return {"value": torch.tensor(truth["value"].to_pylist(), dtype=torch.float32)}
    name, number, scales = ("points", task.points, 1) if "points" in truth else ("boxes", task.boxes, 2)
    target = torch.zeros(len(rows), number, 2 * scales)
    for row, (found, (height, width)) in enumerate(
        zip(truth[name].to_pylist(), truth["size"].to_pylist(), strict=True)
    ):
        target[row, : len(found)] = torch.tensor(found) / torch.tensor([width, height] * scales)
    return {name: target}


def _mask(data: bytes, size: int) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as mask:
        return np.asarray(mask.resize((size, size), Image.Resampling.NEAREST))
