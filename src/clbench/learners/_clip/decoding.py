"""Decoding of images, once, into one uint8 tensor."""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from clbench.core.errors import BrokenSamplesError, DataError
from clbench.core.image_reading import Cell, read_cell, undecoded

if TYPE_CHECKING:
    from datasets import Dataset


def decode_images(rows: "Dataset", size: int) -> Tensor:
    """Decode the column `image` as CLIP's test transform does: shorter side to `size` (bicubic), centre crop.

    The transform ends in uint8 for every CLIP, so keeping uint8 loses nothing and takes a quarter of the memory.

    Args:
        rows: With columns `image` (encoded bytes) and `sample_id`.
        size: Side of the result in pixels.

    Returns:
        `(n, 3, size, size)` uint8, RGB.

    Raises:
        BrokenSamplesError: For images that cannot be read: which ones, and the first by its sample id and reason.
    """
    encoded = undecoded(rows)
    images = np.empty((len(rows), size, size, 3), dtype=np.uint8)

    def decode(item: tuple[int, Cell]) -> str | None:
        index, cell = item
        try:
            images[index] = np.asarray(_resize_and_crop(read_cell(cell), size))
        except DataError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        reasons = list(pool.map(decode, enumerate(encoded["image"])))
    broken = [index for index, reason in enumerate(reasons) if reason is not None]
    if broken:
        sample, reason = encoded["sample_id"][broken[0]], reasons[broken[0]]
        raise BrokenSamplesError(f"sample {sample!r}: {reason}", broken)
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


def _resize_and_crop(image: Image.Image, size: int) -> Image.Image:
    width, height = image.size
    if width == height == size:
        return image
    # torchvision's Resize cuts off the fraction of the longer side, its CenterCrop rounds the offset.
    wide, high = (size * side // min(width, height) for side in (width, height))
    left, top = round((wide - size) / 2), round((high - size) / 2)
    return image.resize((wide, high), Image.Resampling.BICUBIC).crop((left, top, left + size, top + size))
