"""MetaImage (.mha, or .mhd with .raw), read by SimpleITK."""

from pathlib import Path

import numpy as np

from clbench.errors import DataError
from clbench.streams.ultrasound.formats.bytes import as_bytes
from clbench.streams.ultrasound.formats.extra import imported
from clbench.streams.ultrasound.pictures import Array


def read_metaimage(file: Path) -> Array:
    """The picture `(height, width)` in a MetaImage file of one frame; of three equal channels the first.

    Channels may be pixels of three values, or three slices.

    Raises:
        DataError: When it is damaged, has several frames or channels that differ, or values that are no bytes.
        ClbenchError: When SimpleITK is not installed.
    """
    simple_itk = imported("SimpleITK", file)
    try:
        values = np.asarray(simple_itk.GetArrayFromImage(simple_itk.ReadImage(str(file))))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].removeprefix("ITK ERROR: ")
        raise DataError(f"{file}: damaged or not MetaImage: {reason}") from None
    if values.ndim == 3 and values.shape[-1] == 3:
        values = np.moveaxis(values, -1, 0)
    if values.ndim == 3 and len(values) in (1, 3) and (values == values[:1]).all():
        values = values[0]
    if values.ndim != 2:
        raise DataError(f"{file}: wanted one grey frame, got an array of {' x '.join(map(str, values.shape))}")
    return as_bytes(file, values)
