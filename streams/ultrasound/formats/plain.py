"""One frame of a file that Pillow reads: TIFF, GIF, animated PNG or WebP."""

from pathlib import Path

import numpy as np

from clbench.core.image_reading import read_ids, read_image
from clbench.core.image_values import Array


def read_plain(file: Path, frame: int | None = None, mask: bool = False) -> Array:
    """A frame `(height, width, 3)`, or class ids `(height, width)`.

    Args:
        file: The file.
        frame: Number of the frame, from 0; None where there is only one.
        mask: Whether the values are class ids.

    Raises:
        DataError: As `read_image` and `read_ids`.
    """
    if mask:
        return read_ids(file, f"the mask {file}", frame)
    return np.asarray(read_image(file, f"the image {file}", frame=frame))
