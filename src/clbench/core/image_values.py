"""Stored numbers as 8-bit samples, class ids or frames: one rule for every reader of images and masks."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from clbench.core.errors import DataError

Array: TypeAlias = NDArray[np.uint8]
"""`(height, width)` or `(height, width, 3)`."""

TOLERANCE = 0.01
"""Largest distance of a class id from a whole number: a change of type leaves less, interpolation leaves more."""


def eight_bits(values: NDArray[Any], name: str, white: int | None = None, kind: str = "") -> Array:
    """Convert samples of an image to 8 bits by the range of their format, never by the range of one image's values.

    If the format states the value of white (16-bit PNG and TIFF, DICOM), the upper 8 bits of the range are kept; fewer
    bits are stretched to 8. Otherwise (NIfTI, MetaImage, NumPy, floating point, signed numbers) values must be in the
    8-bit range already; fractions, which a change of type leaves, are rounded.

    Args:
        values: Numbers of any type; booleans are black and white.
        name: Name of the file in messages.
        white: Value of white, 2^bits - 1; None if the format does not state it.
        kind: Type of the samples in messages; the type of `values` when empty.

    Raises:
        DataError: For an empty image, values outside the range, and values whose white is unknown: 0 to 1, or 16 bits
            of which only the lower 8 are used.
    """
    if values.dtype == np.bool_:
        values, white = values.astype(np.uint8), 1
    if values.dtype == np.uint8 and white in (None, 255) and values.size:
        return np.ascontiguousarray(values)
    kind = kind or str(values.dtype)
    least, largest = _range(values, name, kind)
    if not (least >= 0 and largest <= (255 if white is None else white)):
        got = f"got {least:g} to {largest:g} ({kind})"
        raise DataError(f"{name}: wanted values of 0 to {255 if white is None else white}, {got}")
    if white is not None:
        return _scaled(values, name, white, kind)
    if 0 < largest < 2:
        raise DataError(
            f"{name}: wanted values of 0 to 255, got {least:g} to {largest:g} ({kind}): nothing says what is white"
        )
    return np.ascontiguousarray(np.rint(values), dtype=np.uint8)


def class_ids(values: NDArray[Any], name: str) -> Array:
    """Convert the values of a mask to class ids.

    Raises:
        DataError: For an empty mask, values outside 0 to 255, and values further than `TOLERANCE` from a whole number:
            these were interpolated, and rounding would invent classes.
    """
    least, largest = _range(values, name, str(values.dtype))
    if values.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            odd = ~(np.abs(values - np.rint(values)) <= TOLERANCE)  # so that NaN and the infinite are odd
        if odd.any():
            got = f"{int(odd.sum())} of {values.size} values are no class, the first {float(values[odd][0]):g}"
            raise DataError(f"{name}: {got} (wanted whole numbers to {TOLERANCE:g}: was the mask resampled linearly?)")
        values = np.rint(values)
        least, largest = float(values.min()), float(values.max())
    if not (least >= 0 and largest <= 255):
        raise DataError(f"{name}: wanted classes of 0 to 255, got {least:g} to {largest:g}")
    return np.ascontiguousarray(values, dtype=np.uint8)


def frame_of(frames: int, frame: int | None, name: str, mask: bool = False) -> int:
    """The index of the frame to read.

    Args:
        frames: Number of frames in the file.
        frame: Index that the data give; None without one.
        name: Name of the file in messages.
        mask: Whether the file is the mask of that frame; a single frame is then read for any index.

    Raises:
        DataError: When there is no such frame, or there are several and no index is given.
    """
    if mask and frames == 1:
        return 0
    if frame is None and frames > 1:
        raise DataError(f"{name}: has {frames} frames, and nothing says which one is meant")
    if not 0 <= (frame or 0) < frames:
        raise DataError(f"{name}: has {frames} frames, so there is no frame {frame} (they count from 0)")
    return frame or 0


def _scaled(values: NDArray[Any], name: str, white: int, kind: str) -> Array:
    surplus = white.bit_length() - 8
    if surplus > 0 and 0 < int(values.max()) < 2**surplus:
        raise DataError(
            f"{name}: wanted values of 0 to {white}, got {values.min()} to {values.max()} ({kind}): all would be black"
        )
    scaled = values >> surplus if surplus >= 0 else np.rint(values * (255 / white))
    return np.ascontiguousarray(scaled, dtype=np.uint8)


def _range(values: NDArray[Any], name: str, kind: str) -> tuple[float, float]:
    """The least and the largest value; NaN where one is NaN."""
    if values.dtype.kind not in "biuf":
        raise DataError(f"{name}: wanted real numbers, got {kind}")
    if values.size == 0:
        raise DataError(f"{name}: is empty")
    return float(values.min()), float(values.max())
