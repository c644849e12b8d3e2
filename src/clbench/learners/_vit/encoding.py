"""Rows of images as tensors of one size, with their targets."""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch
from PIL import Image

from clbench.contracts import Samples, Task
from clbench.kinds import decode_rows
from clbench.learners._vit.heads import head_class

if TYPE_CHECKING:
    from datasets import Dataset


def encoded(rows: "Dataset", task: Task, size: int) -> Samples:
    """Resize images to a square, each axis by its own factor, so that nothing is cut off; and encode their targets.

    `image` is `(n, 3, size, size)` uint8. Targets are those of the task's head (`Head.targets`). `mirror` `(n,)` bool
    says whether left and right may be exchanged (`Head.may_mirror`).

    Args:
        rows: Rows with the columns of the task's kind.
        task: The task that the rows belong to.
        size: Side of the square in pixels.

    Raises:
        BrokenSamplesError: For rows that do not decode or whose truth is impossible.
        ConfigError: For a kind without a head.
        DataError: For a label outside the task's classes.
    """
    head = head_class(task)
    images = np.empty((len(rows), size, size, 3), dtype=np.uint8)

    def take(index: int, image: Image.Image) -> None:
        images[index] = np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))

    truth = decode_rows(rows, task, take)
    tensors = {
        "image": torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(),
        "mirror": torch.full((len(rows),), head.may_mirror(task)),
        **head.targets(rows, truth, task, size),
    }
    return Samples(pa.array(rows["sample_id"][:], pa.string()), tensors, truth=truth)
