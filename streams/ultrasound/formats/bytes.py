"""Arrays of any type as bytes, if they hold nothing else."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clbench.errors import DataError
from clbench.streams.ultrasound.pictures import Array


def as_bytes(file: Path, values: NDArray[Any]) -> Array:
    """The same values as uint8; fractions, which a change of type has left, are rounded.

    Raises:
        DataError: For values that are not between 0 and 255.
    """
    if values.size == 0:
        raise DataError(f"{file}: is empty")
    if values.dtype != np.uint8:
        least, largest = float(values.min()), float(values.max())
        if not (least >= 0 and largest <= 255):
            raise DataError(f"{file}: wanted values of 0 to 255, got {least:g} to {largest:g}")
        values = np.rint(values)
    return np.ascontiguousarray(values, dtype=np.uint8)
