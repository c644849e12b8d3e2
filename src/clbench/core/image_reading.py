"""Reading of images: every image and mask is opened here, so all readers see the same 8-bit values or class ids."""

import io
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from clbench.core.errors import DataError
from clbench.core.image_values import Array, class_ids, eight_bits, frame_of

if TYPE_CHECKING:
    from datasets import Dataset

UNDECODABLE = (
    Image.DecompressionBombError,
    UnidentifiedImageError,
    AttributeError,
    EOFError,
    KeyError,
    IndexError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,  # of Pillow's decoder of AVIF
    SyntaxError,  # Pillow's, for a broken chunk of a PNG
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""Exceptions that Pillow raises for damaged files and for files that are not images."""

SIXTEEN_BITS = {"I;16": ("PNG", "TIFF", "JPEG2000", "ICO"), "I": ("PNG", "PPM")}
"""Formats in which a mode of Pillow means 16 unsigned bits; in others, the value of white is unknown."""
BITS, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339
"""Tags of TIFF: bits a sample; 0 where white is zero; 2 for signed samples (TIFF 6.0)."""
LOSSY = ("JPEG", "MPO")

ImageCell = Mapping[str, Any] | None
"""An image as `datasets.Image` keeps it undecoded: `bytes`, or the `path` of a file."""
Source = bytes | str | Path


def read_image(source: Source, name: str, mode: Literal["RGB", "L"] = "RGB", frame: int | None = None) -> Image.Image:
    """Read an image in its own size, in colours or grey; transparency and orientation tags are ignored.

    Args:
        source: The file, or its bytes.
        name: Name of the image in messages.
        mode: `RGB` for colours, `L` for grey.
        frame: Index of the frame; None for files with one frame. A camera's JPEG (MPO) counts as one frame: its other
            images are previews.

    Raises:
        DataError: When the image does not decode, has no such frame, has several frames and none is given, or does not
            say which value is white.
    """
    with _opened(source, name, frame) as (image, stored):
        converted = _of_8_bits(image, name).convert(mode)
        if ";16" in stored and "I" not in image.mode and not np.asarray(converted).any():
            kind = f"({image.format}, 16 bits, mode {image.mode})"
            raise DataError(f"{name}: wanted values of 0 to 65535, got none above 255 {kind}: all would be black")
        return converted


def read_ids(source: Source, name: str, frame: int | None = None) -> Array:
    """Read the class ids `(height, width)` of a mask: palette indices, or the first of equal channels.

    Args:
        source: The file, or its bytes.
        name: Name of the mask in messages.
        frame: Index of the frame; ignored for a mask with one frame.

    Raises:
        DataError: When the mask does not decode, has several frames and none is given, is JPEG (which blurs classes),
            or has channels that differ or values that are not class ids.
    """
    with _opened(source, name, frame, mask=True) as (image, _):
        if image.format in LOSSY:
            raise DataError(f"{name}: JPEG changes class ids (wanted a mask in a format without loss, such as PNG)")
        values: NDArray[Any] = np.array(image)
    if values.ndim == 3:
        if (values != values[..., :1]).any():
            raise DataError(f"{name} has channels that differ (wanted one channel of class ids)")
        values = values[..., 0]
    return class_ids(values, name)


def read_cell(cell: ImageCell, what: str = "the image") -> Image.Image:
    """Read the image of a cell, RGB, in its own size.

    Raises:
        DataError: As `read_image`, and for an empty cell.
    """
    return read_image(source_of(cell, what), name_of(cell, what))


def source_of(cell: ImageCell, what: str) -> Source:
    """The bytes of a cell, or the path of its file.

    Raises:
        DataError: When it has neither.
    """
    data, path = (cell["bytes"], cell["path"]) if cell else (None, None)
    if data is None and path is None:
        raise DataError(f"{what} is missing")
    if data == b"":
        raise DataError(f"{what} could not be made")
    return data if isinstance(data, bytes) else str(path)


def name_of(cell: ImageCell, what: str) -> str:
    """Name of an image in messages, with its file if it has one."""
    return f"{what} {cell['path']}" if cell and cell["path"] is not None else what


def undecoded(rows: "Dataset") -> "Dataset":
    """The rows with images as cells, not decoded: `datasets` would decode them by rules of its own."""
    from datasets import Image as ImageFeature

    for name, feature in rows.features.items():
        if isinstance(feature, ImageFeature):
            rows = rows.cast_column(name, ImageFeature(decode=False))
    return rows


@contextmanager
def _opened(source: Source, name: str, frame: int | None, mask: bool = False) -> Iterator[tuple[Image.Image, str]]:
    """The decoded frame of a file, and Pillow's description of how its samples are stored.

    Raises:
        DataError: In one line, for any error while the image is in use.
    """
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            frames = 1 if image.format == "MPO" and frame is None else getattr(image, "n_frames", 1)
            chosen = frame_of(frames, frame, name, mask)
            if frames > 1:
                image.seek(chosen)
            stored = str(image.tile)  # such as `RGB;16B`, of which Pillow keeps the upper bytes; gone once it is loaded
            image.load()
            yield image, stored
    except UNDECODABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{name} does not decode: {reason}") from None


def _of_8_bits(image: Image.Image, name: str) -> Image.Image:
    """The image unchanged, or 8-bit grey if its samples have more bits."""
    kind = f"{image.format}, mode {image.mode}"
    tags: Mapping[int, Any] = getattr(image, "tag_v2", {})
    if image.mode == "L" and 2 in np.atleast_1d(tags.get(SAMPLE_FORMAT, 1)):
        return Image.fromarray(eight_bits(np.asarray(image).view(np.int8), name, kind="TIFF, signed"))
    if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
        return image
    white = None
    if image.format in SIXTEEN_BITS.get(image.mode[:4], ()):
        white = 2 ** int(np.max(tags.get(BITS, 16))) - 1
    grey = eight_bits(np.asarray(image), name, white, kind)
    return Image.fromarray(255 - grey if tags.get(PHOTOMETRIC) == 0 else grey)
