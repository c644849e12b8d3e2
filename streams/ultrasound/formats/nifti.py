"""NIfTI, read by nibabel."""

from pathlib import Path

import numpy as np

from clbench.errors import DataError
from clbench.streams.ultrasound.formats.bytes import as_bytes
from clbench.streams.ultrasound.formats.extra import imported
from clbench.streams.ultrasound.pictures import Array


def read_nifti(file: Path) -> Array:
    """The picture `(height, width)` in a NIfTI file of one frame.

    NIfTI keeps (width, height): the array is transposed, so that the first row is the top of the picture, as SimpleITK
    gives it and the makers of CAMUS show it. (Loaders that turn the array by 90 degrees instead see its mirror image.)

    Raises:
        DataError: When it is damaged, has several frames or values that are no bytes.
        ClbenchError: When nibabel is not installed.
    """
    nibabel = imported("nibabel", file)
    try:
        values = np.asarray(nibabel.load(file).dataobj)
    except (nibabel.filebasedimages.ImageFileError, EOFError, OSError, ValueError) as error:
        raise DataError(f"{file}: damaged or not NIfTI: {' '.join(str(error).split())}") from None
    if values.ndim > 2 and values.shape[2:] == (1,) * (values.ndim - 2):
        values = values.reshape(values.shape[:2])
    if values.ndim != 2:
        raise DataError(f"{file}: wanted one frame, got an array of {' x '.join(map(str, values.shape))}")
    return as_bytes(file, values.T)
