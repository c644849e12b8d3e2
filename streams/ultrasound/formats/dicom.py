"""DICOM, read by pydicom."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clbench.core.errors import DataError
from clbench.core.image_values import Array, class_ids, eight_bits, frame_of
from clbench.streams.ultrasound.formats.extra import imported

DAMAGES = (AttributeError, EOFError, LookupError, NotImplementedError, OSError, RuntimeError, struct.error, zlib.error)
"""Errors of pydicom for damaged files, besides its own and `ValueError` and `TypeError`."""


def read_dicom(file: Path, frame: int | None = None, mask: bool = False) -> Array:
    """One frame, `(height, width)` grey or `(height, width, 3)` RGB; every photometric interpretation is read.

    Palettes are looked up, YBR becomes RGB, colour planes are merged, and MONOCHROME1 is inverted so that echoes are
    bright. Samples of more than 8 bits keep their upper 8. The samples of a mask are not scaled, except by the file's
    slope and intercept.

    Args:
        file: The file.
        frame: Number of the frame, from 0; None where there is only one.
        mask: Whether the values are class ids.

    Raises:
        DataError: When it is damaged, has no pixels, no such frame or values that do not fit, or is packed in a way
            that needs a decoder which is not installed.
        ClbenchError: When pydicom is not installed.
    """
    imported("pydicom", file)
    from pydicom import dcmread
    from pydicom.errors import BytesLengthException, InvalidDicomError

    try:
        dataset = dcmread(file)
        frames = int(dataset.get("NumberOfFrames") or 1)
        values, white = _pixels(dataset, frame_of(frames, frame, str(file), mask), mask)
    except (BytesLengthException, InvalidDicomError, *DAMAGES) as error:
        raise DataError(f"{file}: damaged or not DICOM: {' '.join(str(error).split())}") from None
    except (TypeError, ValueError) as error:
        raise DataError(f"{file}: its pixels cannot be read: {' '.join(str(error).split())}") from None
    return class_ids(values, str(file)) if mask else eight_bits(values, str(file), white)


def _pixels(dataset: Any, frame: int, mask: bool) -> tuple[NDArray[Any], int | None]:
    """The samples of a frame, and the value of white; None where it is unknown."""
    from pydicom.pixels.processing import apply_color_lut, apply_rescale
    from pydicom.pixels.utils import pixel_array

    values = np.asarray(pixel_array(dataset, index=frame, raw=mask))  # YBR becomes RGB here
    kind, bits = dataset.PhotometricInterpretation, int(dataset.get("BitsStored") or 0)
    if mask:
        return np.asarray(apply_rescale(values, dataset)), None
    if kind == "PALETTE COLOR":
        values = np.asarray(apply_color_lut(values, dataset))
        return values, 2 ** (8 * values.dtype.itemsize) - 1
    if values.dtype.kind == "f":
        return values, None
    if int(dataset.PixelRepresentation):
        values = values.astype(np.int64) + 2 ** (bits - 1)
    if kind == "MONOCHROME1":
        values = 2**bits - 1 - values.astype(np.int64)
    return values, 2**bits - 1
