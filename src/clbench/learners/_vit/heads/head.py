"""The base class of heads, and the upsampling network of dense heads."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clbench.contracts import Batch, Task
from clbench.core.errors import ConfigError
from clbench.learners._vit.trunk import Features

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset

CHANNELS = 32
"""Channels of the maps inside dense heads."""
GROUPS = 8
"""Groups of GroupNorm. BatchNorm is not used: a batch holds one task, so its statistics would jump between tasks."""


class Head(nn.Module, ABC):
    """What a vision transformer has of its own for a kind of task: targets, raw answer, loss and prediction."""

    @classmethod
    @abstractmethod
    def of(cls, task: Task, width: int) -> Self:
        """A new head for a task on tokens of a width; its weights are drawn from torch's global state.

        Raises:
            ConfigError: For a task without what the head needs.
        """

    @classmethod
    @abstractmethod
    def targets(cls, rows: "Dataset", truth: "Mapping[str, pa.Array]", task: Task, size: int) -> dict[str, Tensor]:
        """What `loss` reads of a split besides images, on the CPU.

        Args:
            rows: The rows.
            truth: Their truth as in `Samples.truth`, with `size` (height and width).
            task: The task.
            size: Side of the learner's images in pixels.

        Raises:
            DataError: For a label outside the task's classes.
        """

    @classmethod
    def may_mirror(cls, task: Task) -> bool:
        """Whether left and right of an image may be exchanged in training; classes and points may mean a side."""
        return False

    def __call__(self, features: Features) -> Tensor:
        """The raw answer `(n, ...)`, with gradient."""
        answer: Tensor = super().__call__(features)
        return answer

    @abstractmethod
    def forward(self, features: Features) -> Tensor:
        """Compute the raw answer."""

    @abstractmethod
    def loss(self, answer: Tensor, batch: Batch) -> Tensor:
        """Mean loss of a raw answer in float32, a scalar."""

    @abstractmethod
    def predict(self, answer: Tensor, size: int) -> Tensor:
        """The raw answer in the form of `Predictions.prediction` for the task's kind; for classes, the scores.

        Args:
            answer: The raw answer.
            size: Side of the learner's images in pixels.
        """


def in_fractions(truth: "Mapping[str, pa.Array]", name: str, number: int, corners: int) -> Tensor:
    """Points in pixels as fractions of width and height, float32 `(n, number, 2 * corners)`; padded with zeros.

    Args:
        truth: Has the points, and `size` (height and width).
        name: Column of the points or boxes.
        number: Largest number of points or boxes of an image.
        corners: Points in each item: 1 for a point, 2 for a box.
    """
    target = torch.zeros(len(truth[name]), number, 2 * corners)
    for row, (found, (height, width)) in enumerate(
        zip(truth[name].to_pylist(), truth["size"].to_pylist(), strict=True)
    ):
        target[row, : len(found)] = torch.tensor(found) / torch.tensor([width, height] * corners)
    return target


def lacks(task: Task, what: str) -> ConfigError:
    """The error for a task without what its head needs."""
    return ConfigError(f"task {task.name!r}: a vision transformer's head for {task.kind} needs its {what}, got none")


class Upsampler(nn.Sequential):
    """A 1 x 1 convolution to `CHANNELS`, then, for each doubling, bilinear enlargement and a 3 x 3 convolution.

    GroupNorm and GELU follow every convolution; each doubling halves the channels, down to 16.
    """

    def __init__(self, width: int, doublings: int) -> None:
        layers: list[Any] = [nn.Conv2d(width, CHANNELS, 1), nn.GroupNorm(GROUPS, CHANNELS), nn.GELU()]
        channels = CHANNELS
        for _ in range(doublings):
            narrower = max(16, channels // 2)
            layers += [Double(), nn.Conv2d(channels, narrower, 3, padding=1), nn.GroupNorm(GROUPS, narrower)]
            layers.append(nn.GELU())
            channels = narrower
        super().__init__(*layers)
        self.channels = channels


class Double(nn.Module):
    """Bilinear enlargement by a factor of two."""

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge `(n, channels, height, width)` to `(n, channels, 2 height, 2 width)`."""
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
