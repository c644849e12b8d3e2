"""Numbers in files as 8 bits a sample, as class ids or as frames: one rule for every reader of images and masks."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from clbench.core.errors import DataError

Array: TypeAlias = NDArray[np.uint8]
"""`(height, width)` or `(height, width, 3)`."""

TOLERANCE = 0.01
"""So far from a whole number a class id may be: a change of type leaves that much, interpolation leaves more."""


def eight_bits(values: NDArray[Any], name: str, white: int | None = None, kind: str = "") -> Array:
    """Samples of an image as 8 bits, by the range that their format states, never by the range of one image's values.

    Where the format says what white is (16 bits of PNG and TIFF, DICOM), the upper 8 bits of that range are kept; fewer
    bits are stretched to 8. Where it does not (NIfTI, MetaImage, NumPy, floating point, signed numbers), values must be
    those of 8 bits already: fractions, which a change of type has left, are rounded.

    Args:
        values: Numbers of any type; truth values are black and white.
        name: The file, for messages.
        white: Value of white, 2^bits - 1; None where the format does not say it.
        kind: What messages call the type of the samples; that of `values` when empty.

    Raises:
        DataError: For no values, values outside the range, and those where white cannot be known: 0 to 1, or 16 bits of
            which only the lower 8 are used.
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
    """The class ids of a mask.

    Raises:
        DataError: For no values, values outside 0 to 255, and values further than `TOLERANCE` from a whole number: they
            were interpolated, and to round them would be to name a class that is not there.
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
    """Which frame of a file is meant, from 0.

    Args:
        frames: How many it has.
        frame: The one that was named; None where nobody named one.
        name: The file, for messages.
        mask: Whether the file is the mask of that frame: then a single frame is meant whatever the number.

    Raises:
        DataError: When there is no such frame, or there are several and none was named.
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
