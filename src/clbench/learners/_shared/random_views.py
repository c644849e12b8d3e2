"""Random views of images, for a whole batch at once on its device."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from clbench.core.devices import to_device


def random_resized_crop(
    images: Tensor,
    generator: torch.Generator,
    scale: tuple[float, float] = (0.9, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> Tensor:
    """Crop a random box from each image and resize it back: the training transform of CLIP, batched.

    torchvision's `RandomResizedCrop` draws one box for a whole batch, or loops over samples in Python. Here every
    sample has its own box, and all are resampled at once (bicubic). Boxes that would not fit are cut to the image.

    Args:
        images: `(n, channels, height, width)`, floating point.
        generator: Source of randomness, on the CPU.
        scale: Range of the box's area, as a fraction of the image's area.
        ratio: Range of width over height; its logarithm is drawn uniformly.

    Returns:
        Images of the same shape; values stay in the range of the input.
    """
    n = len(images)
    draw = torch.rand(4, n, generator=generator)
    area = scale[0] + (scale[1] - scale[0]) * draw[0]
    aspect = torch.exp(math.log(ratio[0]) + (math.log(ratio[1]) - math.log(ratio[0])) * draw[1])
    width = (area * aspect).sqrt().clamp(max=1.0)
    height = (area / aspect).sqrt().clamp(max=1.0)
    box = torch.stack([width, height, (1 - width) * (2 * draw[2] - 1), (1 - height) * (2 * draw[3] - 1)], dim=1)
    box = to_device(box.to(images.dtype), images.device)
    low, high = images.amin(), images.amax()
    grid = sampling_grid(box[:, :2], box[:, 2:], images)
    return resample(images, grid, "bicubic", padding="border").clamp(low, high)


def sampling_grid(scale: Tensor, shift: Tensor, images: Tensor) -> Tensor:
    """Positions in the images that the pixels of their views are taken from: `scale * (x, y) + shift`.

    Args:
        scale: Factors of x and y, `(n, 2)`; a negative factor mirrors.
        shift: Centre of the view, `(n, 2)`, in coordinates from -1 to 1.
        images: `(n, channels, height, width)`; views have the same size.

    Returns:
        `(n, height, width, 2)`, in coordinates from -1 to 1.
    """
    theta = torch.zeros(len(scale), 2, 3, device=scale.device, dtype=scale.dtype)
    theta[:, 0, 0], theta[:, 1, 1] = scale.unbind(dim=1)
    theta[:, :, 2] = shift
    with torch.autocast(scale.device.type, enabled=False):  # bfloat16 would round the grid to whole pixels
        return F.affine_grid(theta, [len(scale), 1, *images.shape[-2:]], align_corners=False)


def resample(
    images: Tensor, grid: Tensor, mode: Literal["bicubic", "bilinear", "nearest"], padding: str = "zeros"
) -> Tensor:
    """Views of images at the positions of a `sampling_grid`, in the number format of the images.

    Args:
        images: `(n, channels, height, width)`, floating point.
        grid: `(n, height, width, 2)`.
        mode: Interpolation.
        padding: Values outside an image: `zeros`, or `border` for the nearest pixel.
    """
    with torch.autocast(images.device.type, enabled=False):
        return F.grid_sample(images, grid, mode=mode, padding_mode=padding, align_corners=False)
