"""NIfTI, read by nibabel."""

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clbench.core.errors import DataError
from clbench.core.image_values import Array, class_ids, eight_bits, frame_of
from clbench.core.storage import read_unpacked
from clbench.streams.ultrasound.formats.extra import imported

SECOND_VERSION = 540
"""Size of the header of NIfTI-2, which is the first number of its files, in either byte order."""


def read_nifti(file: Path, frame: int | None = None, mask: bool = False) -> Array:
    """One frame `(height, width)` of a NIfTI file, which is unpacked to its end, so that its checksum is compared.

    NIfTI stores (width, height). The array is transposed, so that the first row is the top of the image, as in
    SimpleITK and in the figures of CAMUS. (Loaders that rotate the array by 90 degrees show the mirror image.)

    Args:
        file: The file.
        frame: Number of the frame, from 0, along the one axis after height and width that is longer than 1; None where
            there is only one frame.
        mask: Whether the values are class ids; else they must be those of 8 bits.

    Raises:
        DataError: When it is damaged, has no such frame or several and none is named, or values that do not fit.
        ClbenchError: When nibabel is not installed.
    """
    nibabel = imported("nibabel", file)
    data = read_unpacked(file, "NIfTI")
    second = SECOND_VERSION in struct.unpack("<i", data[:4].ljust(4)) + struct.unpack(">i", data[:4].ljust(4))
    kind = nibabel.Nifti2Image if second else nibabel.Nifti1Image
    damages = (
        nibabel.filebasedimages.ImageFileError,
        nibabel.spatialimages.HeaderDataError,
        nibabel.wrapstruct.WrapStructError,
    )
    try:
        stored = kind.from_bytes(data).dataobj
        wanted = stored.offset + math.prod(map(int, stored.shape)) * stored.dtype.itemsize
        if wanted > len(data):
            raise DataError(f"{file}: damaged: wanted {wanted} bytes, got {len(data)}")
        values = _frame(file, stored, frame, mask)
    except (*damages, ArithmeticError, EOFError, LookupError, OSError, TypeError, ValueError) as error:
        raise DataError(f"{file}: damaged or not NIfTI: {' '.join(str(error).split())}") from None
    return class_ids(values.T, str(file)) if mask else eight_bits(values.T, str(file))


def _frame(file: Path, stored: Any, frame: int | None, mask: bool) -> NDArray[Any]:
    """The frame `(width, height)`, scaled as the header says."""
    more = [size for size in stored.shape[2:] if size != 1]
    if len(stored.shape) < 2 or len(more) > 1 or (more and frame is None):
        raise DataError(f"{file}: wanted one frame, got an array of {' x '.join(map(str, stored.shape))}")
    place = frame_of(more[0] if more else 1, frame, str(file), mask)
    return np.asarray(stored[:, :, *(place if size != 1 else 0 for size in stored.shape[2:])])
