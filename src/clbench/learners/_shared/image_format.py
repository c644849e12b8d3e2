"""The image format of a model: size and normalisation."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor


@dataclass(frozen=True)
class ImageFormat:
    """The images that a model was pre-trained on.

    Attributes:
        size: Side of the square image in pixels.
        mean: Mean by channel, of values in [0, 1].
        std: Standard deviation by channel, of values in [0, 1].
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def read_image_format(path: Path) -> ImageFormat:
    """Read the format from a JSON file with `size`, `mean` and `std`."""
    values = json.loads(path.read_text(encoding="utf-8"))
    return ImageFormat(values["size"], tuple(values["mean"]), tuple(values["std"]))


class Normalization:
    """Normalises images by the mean and standard deviation of a format, on the device of the images."""

    def __init__(self, images: ImageFormat) -> None:
        self._mean = torch.tensor(images.mean).view(3, 1, 1)
        self._std = torch.tensor(images.std).view(3, 1, 1)

    def __call__(self, images: Tensor) -> Tensor:
        """Normalise images `(n, 3, h, w)`, uint8 or floating point in [0, 1]."""
        if self._mean.device != images.device:
            self._mean, self._std = self._mean.to(images.device), self._std.to(images.device)
        return (in_unit_range(images) - self._mean) / self._std


def in_unit_range(images: Tensor) -> Tensor:
    """Images with values in [0, 1]: uint8 is divided by 255, floating point is in that range already."""
    return images if images.is_floating_point() else images.float() / 255
