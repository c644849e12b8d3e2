"""Masks made from bright marks: thresholds, unions of several masks, filled contours and polygons."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from clbench.core.errors import DataError
from clbench.core.image_reading import read_image
from clbench.core.image_values import Array
from clbench.streams.ultrasound.formats.ellipse import fitted

BRIGHT = 127
"""Above it a grey value of a JPEG mask is foreground: its compression blurs 0 and 255."""


def marked(*files: Path) -> Array:
    """1 where one of the masks is not black, 0 elsewhere; colours are made grey, transparency does not count.

    Raises:
        DataError: When the masks are not of one size.
    """
    return _any([grey(file) > 0 for file in files], files)


def bright(file: Path) -> Array:
    """1 where a mask is bright, 0 elsewhere."""
    return (grey(file) > BRIGHT).astype(np.uint8)


def inside_ellipse(file: Path) -> Array:
    """1 inside the ellipse whose outline an image shows, also where the border of the image cuts it off.

    Raises:
        DataError: When the outline is no ellipse.
    """
    outline = grey(file) > BRIGHT
    if not outline.any():
        return outline.astype(np.uint8)
    return fitted(outline).filled(outline.shape)


def inside_polygons(file: Path, polygons: Sequence[Sequence[tuple[float, float]]]) -> Array:
    """1 inside one of the polygons, else 0, in an array of the size of an image.

    Args:
        file: The image.
        polygons: Corners (x, y) in pixels.
    """
    canvas = Image.new("L", read_image(file, f"the image {file}").size, 0)
    pen = ImageDraw.Draw(canvas)
    for polygon in polygons:
        pen.polygon(list(polygon), fill=1)
    return np.asarray(canvas, dtype=np.uint8)


def grey(file: Path) -> NDArray[np.uint8]:
    """An image `(height, width)` in grey."""
    return np.asarray(read_image(file, f"the mask {file}", "L"))


def _any(masks: Sequence[NDArray[np.bool_]], files: Sequence[Path]) -> Array:
    for mask, file in zip(masks, files, strict=True):
        if mask.shape != masks[0].shape:
            got = f"{mask.shape[1]} x {mask.shape[0]} pixels"
            raise DataError(f"{file}: {got}, but {files[0].name} has {masks[0].shape[1]} x {masks[0].shape[0]}")
    found: Array = np.any(masks, axis=0).astype(np.uint8)
    return found
