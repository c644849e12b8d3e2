"""DICOM, read by pydicom."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clbench.errors import DataError
from clbench.streams.ultrasound.formats.extra import imported
from clbench.streams.ultrasound.pictures import Array


def read_dicom(file: Path, frame: int | None = None) -> Array:
    """One frame, `(height, width)` grey or `(height, width, 3)` RGB, of whatever photometric interpretation.

    Palettes are looked up, YBR becomes RGB, planes of colours are put together and MONOCHROME1 is turned round, so that
    bright is an echo. Samples of more than 8 bits keep their upper 8.

    Args:
        file: The file.
        frame: Which frame, from 0; None where there is only one.

    Raises:
        DataError: When it is damaged, has no pixels or no such frame, or is packed in a way that needs a decoder which
            is not installed.
        ClbenchError: When pydicom is not installed.
    """
    imported("pydicom", file)
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError
    from pydicom.pixels.processing import apply_color_lut
    from pydicom.pixels.utils import pixel_array

    try:
        dataset = dcmread(file)
        frames = int(dataset.get("NumberOfFrames") or 1)
        if frame is None and frames > 1:
            raise DataError(f"{file}: has {frames} frames, and nothing says which one is meant")
        if not 0 <= (frame or 0) < frames:
            raise DataError(f"{file}: has {frames} frames, so there is no frame {frame} (they count from 0)")
        values = np.asarray(pixel_array(dataset, index=frame or 0))  # YBR becomes RGB here
        kind = dataset.PhotometricInterpretation
        if kind == "PALETTE COLOR":
            values = np.asarray(apply_color_lut(values, dataset))
            return _upper_byte(values, 8 * values.dtype.itemsize)
    except (InvalidDicomError, AttributeError, EOFError, KeyError, NotImplementedError, OSError, RuntimeError) as error:
        raise DataError(f"{file}: damaged or not DICOM: {' '.join(str(error).split())}") from None
    except (TypeError, ValueError) as error:
        raise DataError(f"{file}: its pixels cannot be read: {' '.join(str(error).split())}") from None
    return _grey(dataset, kind, values)


def _grey(dataset: Any, kind: str, values: NDArray[Any]) -> Array:
    bits = int(dataset.BitsStored)
    if int(dataset.PixelRepresentation):
        values = values.astype(np.int64) + 2 ** (bits - 1)
    if kind == "MONOCHROME1":
        values = 2**bits - 1 - values.astype(np.int64)
    return _upper_byte(values, bits)


def _upper_byte(values: NDArray[Any], bits: int) -> Array:
    return np.ascontiguousarray(values >> max(bits - 8, 0), dtype=np.uint8)
