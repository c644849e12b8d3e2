"""The base class of heads, and the upsampling network of dense heads."""

from abc import ABC, abstractmethod
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from clbench.contracts import Batch
from clbench.learners._vit.trunk import Features

CHANNELS = 32
"""Channels of the maps inside dense heads."""
GROUPS = 8
"""Groups of GroupNorm. BatchNorm is not used: a batch holds one task, so its statistics would jump between tasks."""


class Head(nn.Module, ABC):
    """Computes a raw answer from features, its loss, and the prediction in the evaluator's form."""

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
