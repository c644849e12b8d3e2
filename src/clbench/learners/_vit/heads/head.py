"""What all heads have in common, and how the maps of dense ones grow."""

from abc import ABC, abstractmethod
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from clbench.contracts import Batch
from clbench.learners._vit.trunk import Features

CHANNELS = 32
"""Of the maps inside dense heads."""
GROUPS = 8
"""Of GroupNorm: batches hold one task, so statistics of batches would jump from task to task."""


class Head(nn.Module, ABC):
    """Reads features, says what is wrong with its answer, and gives the answer as the evaluator wants it."""

    def __call__(self, features: Features) -> Tensor:
        """The raw answer, `(n, ...)`, with gradient."""
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
        """What `Predictions.prediction` holds for the kind; of classes the scores.

        Args:
            answer: Raw.
            size: Side of the learner's images in pixels.
        """


class Growing(nn.Sequential):
    """A map of patches to one of `CHANNELS`, each side doubled some times: 1 x 1, then (x2, 3 x 3) again and again.

    GroupNorm and GELU follow every convolution; each doubling halves the channels, down to 16.
    """

    def __init__(self, width: int, doublings: int) -> None:
        layers: list[Any] = [nn.Conv2d(width, CHANNELS, 1), nn.GroupNorm(GROUPS, CHANNELS), nn.GELU()]
        channels = CHANNELS
        for _ in range(doublings):
            narrower = max(16, channels // 2)
            layers += [Doubled(), nn.Conv2d(channels, narrower, 3, padding=1), nn.GroupNorm(GROUPS, narrower)]
            layers.append(nn.GELU())
            channels = narrower
        super().__init__(*layers)
        self.channels = channels


class Doubled(nn.Module):
    """Bilinear enlargement by two."""

    def forward(self, x: Tensor) -> Tensor:
        """`(n, channels, 2 height, 2 width)`."""
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
