"""MetaImage (.mha, or .mhd with .raw), read by SimpleITK."""

import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clbench.core.errors import DataError
from clbench.core.image_values import Array, class_ids, eight_bits, frame_of
from clbench.streams.ultrasound.formats.extra import imported

LAST_KEY = b"ElementDataFile"
PACKED = re.compile(rb"^\s*CompressedData\s*=\s*(true|1)\s*$", re.IGNORECASE | re.MULTILINE)
EITHER = 32 + zlib.MAX_WBITS
"""Argument of zlib: the first bytes decide whether the stream is zlib or gzip."""


def read_metaimage(file: Path, frame: int | None = None, mask: bool = False) -> Array:
    """One frame `(height, width)` of a MetaImage file; the first of three equal channels.

    Channels may be pixels of three values, or three slices. A compressed file is unpacked to its end first, so that its
    checksum is compared: SimpleITK does not look at it.

    Args:
        file: The file.
        frame: Number of the slice, from 0; None where there is only one.
        mask: Whether the values are class ids; else they must be those of 8 bits.

    Raises:
        DataError: When it is damaged, has no such frame or several and none is named, channels that differ, or values
            that do not fit.
        ClbenchError: When SimpleITK is not installed.
    """
    simple_itk = imported("SimpleITK", file)
    unpacked = _unpacked(file)
    try:
        image = simple_itk.ReadImage(str(file))
        values = np.asarray(simple_itk.GetArrayFromImage(image))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].removeprefix("ITK ERROR: ")
        raise DataError(f"{file}: damaged or not MetaImage: {reason}") from None
    if unpacked not in (None, values.nbytes):
        raise DataError(f"{file}: damaged: wanted {values.nbytes} bytes of samples, got {unpacked}")
    values = _frame(file, values, image.GetNumberOfComponentsPerPixel(), frame, mask)
    return class_ids(values, str(file)) if mask else eight_bits(values, str(file))


def _frame(file: Path, values: NDArray[Any], channels: int, frame: int | None, mask: bool) -> NDArray[Any]:
    shape = " x ".join(map(str, values.shape))
    if channels > 1:
        if not (values == values[..., :1]).all():
            raise DataError(f"{file}: wanted one grey frame, got an array of {shape}")
        values = values[..., 0]
    elif frame is None and values.ndim == 3 and len(values) == 3 and (values == values[:1]).all():
        values = values[0]
    more = [size for size in values.shape[:-2] if size != 1]
    if values.ndim < 2 or len(more) > 1 or (more and frame is None):
        raise DataError(f"{file}: wanted one grey frame, got an array of {shape}")
    place = frame_of(more[0] if more else 1, frame, str(file), mask)
    found: NDArray[Any] = values.reshape(-1, *values.shape[-2:])[place]
    return found


def _unpacked(file: Path) -> int | None:
    """Bytes of a compressed file's samples, whose checksum is compared; None where the file is not compressed."""
    try:
        data = file.read_bytes()
        header, key, rest = data.partition(LAST_KEY)
        line, _, inside = rest.partition(b"\n")
        if not key or PACKED.search(header) is None:
            return None
        name = line.partition(b"=")[2].strip().decode()
        packed = inside if name.lower() == "local" else (file.parent / name).read_bytes()
        opened = zlib.decompressobj(EITHER)
        size = len(opened.decompress(packed))
    except (OSError, UnicodeDecodeError, ValueError, zlib.error) as error:
        raise DataError(f"{file}: damaged: {error}") from None
    if not opened.eof:
        raise DataError(f"{file}: damaged: its compressed samples end too early")
    return size
