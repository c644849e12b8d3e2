"""Segmentation: class scores at four times the patches' resolution."""

import io
from typing import TYPE_CHECKING, Self, final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from clbench.contracts import Batch, Task
from clbench.learners._vit.dense_losses import dice_loss
from clbench.learners._vit.heads.head import Head, Upsampler, lacks
from clbench.learners._vit.trunk import Features

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from datasets import Dataset


@final
class MaskHead(Head):
    """An upsampler and a 1 x 1 convolution, bilinearly enlarged to the image; Dice loss plus cross-entropy."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.grow = Upsampler(width, 2)
        self.read = nn.Conv2d(self.grow.channels, classes, 1)

    @classmethod
    def of(cls, task: Task, width: int) -> Self:
        """A head for a task.

        Raises:
            ConfigError: For a task without classes.
        """
        if len(task.classes) < 2:
            raise lacks(task, "classes, the background first")
        return cls(width, len(task.classes))

    @classmethod
    def targets(cls, rows: "Dataset", truth: "Mapping[str, pa.Array]", task: Task, size: int) -> dict[str, Tensor]:
        """`mask` `(n, size, size)` uint8 class ids, by the nearest pixel.

        Args:
            rows: The rows.
            truth: Their truth.
            task: The task.
            size: Side of the learner's images in pixels.
        """
        masks = [_resized(data, size) for data in truth["mask"].to_pylist()]
        return {"mask": torch.from_numpy(np.stack(masks))}

    @classmethod
    def may_mirror(cls, task: Task) -> bool:
        """Whether there is one class besides the background."""
        return len(task.classes) == 2

    def forward(self, features: Features) -> Tensor:
        """Scores `(n, classes, 4 rows, 4 columns)`."""
        scores: Tensor = self.read(self.grow(features.patches))
        return scores.float()

    def loss(self, answer: Tensor, batch: Batch) -> Tensor:
        """Dice loss plus cross-entropy, at the size of `mask` `(n, size, size)`."""
        target = batch["mask"].long()
        scores = _enlarged(answer, target.shape[-1])
        return dice_loss(scores.softmax(dim=1), target) + pixel_cross_entropy(scores, target)

    def predict(self, answer: Tensor, size: int) -> Tensor:
        """Class ids `(n, size, size)` uint8."""
        return _enlarged(answer, size).argmax(dim=1).byte()


def pixel_cross_entropy(scores: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy over all pixels, a scalar.

    CUDA sums the pixels of `F.cross_entropy` with reduction in no fixed order; a mean of its own has one. The CPU keeps
    the reduction, and so the bits of earlier results.

    Args:
        scores: Scores `(n, classes, height, width)`.
        target: True classes `(n, height, width)`, int64.
    """
    return F.cross_entropy(scores, target, reduction="none" if scores.is_cuda else "mean").mean()


def _resized(data: bytes, size: int) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as mask:
        return np.asarray(mask.resize((size, size), Image.Resampling.NEAREST))


def _enlarged(scores: Tensor, size: int) -> Tensor:
    return F.interpolate(scores, size=(size, size), mode="bilinear", align_corners=False)
