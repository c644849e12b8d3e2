"""Random views of images, for a whole batch at once on its device."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def random_resized_crop(
    images: Tensor,
    generator: torch.Generator,
    scale: tuple[float, float] = (0.9, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> Tensor:
    """Crop a random box from each image and resize it back: the training transform of CLIP, batched.

    torchvision's `RandomResizedCrop` draws one box for a whole batch, or loops over samples in Python. Here every
    sample has its own box and one bicubic resampling does them all. Boxes that would not fit are cut to the image.

    Args:
        images: `(n, channels, height, width)`, floating point.
        generator: On the CPU.
        scale: Range of the box's share of the area.
        ratio: Range of width over height, drawn evenly in its logarithm.

    Returns:
        Images of the same shape, values kept in the range of the input.
    """
    n = len(images)
    draw = torch.rand(4, n, generator=generator)
    area = scale[0] + (scale[1] - scale[0]) * draw[0]
    aspect = torch.exp(math.log(ratio[0]) + (math.log(ratio[1]) - math.log(ratio[0])) * draw[1])
    width = (area * aspect).sqrt().clamp(max=1.0)
    height = (area / aspect).sqrt().clamp(max=1.0)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = width, height
    theta[:, 0, 2], theta[:, 1, 2] = (1 - width) * (2 * draw[2] - 1), (1 - height) * (2 * draw[3] - 1)
    theta = theta.to(images.device, images.dtype, non_blocking=True)
    low, high = images.amin(), images.amax()
    with torch.autocast(images.device.type, enabled=False):  # bfloat16 would round the grid to whole pixels
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        views = F.grid_sample(images, grid, mode="bicubic", padding_mode="border", align_corners=False)
    return views.clamp(low, high)
