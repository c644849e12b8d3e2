"""8 bits and class ids from numbers of any type, against the rule written down a second time."""

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from clbench.core.errors import DataError
from clbench.core.image_values import TOLERANCE, class_ids, eight_bits, frame_of

DTYPES = ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "g", ">u2", ">i4", ">f4"]
NUMBERS = st.sampled_from(
    [0, 0, 1, 2, 3, 100, 127, 128, 254, 255, 256, 300, 4095, 65535, -1, -0.25, 0.5, 0.996, 1.5, 3.005]
)
ODD = st.sampled_from([float("nan"), float("inf"), -float("inf"), 1e30])


@st.composite
def arrays(draw: st.DrawFn) -> NDArray[Any]:
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    few = draw(st.sampled_from([(0, 1), (0, 1, 2, 3), (0, 255), (0.0, 0.5, 1.0), ()]))
    kind = st.sampled_from(few) if few else (NUMBERS | ODD if dtype.kind == "f" else NUMBERS)
    numbers = draw(st.lists(kind, min_size=1, max_size=6))
    with np.errstate(all="ignore"):
        return np.array([numbers], dtype="f8").astype(dtype)


def told(read: Any, *args: Any) -> NDArray[np.uint8] | None:
    """The result, or None for a refusal in one line that names the file."""
    try:
        found: NDArray[np.uint8] = read(*args)
    except DataError as error:
        line = str(error)
    else:
        assert found.dtype == np.uint8
        return found
    assert line.startswith("x.tif: ")
    assert "\n" not in line
    return None


@settings(max_examples=1500, deadline=None)
@given(arrays())
def test_values_whose_white_nobody_states(values: NDArray[Any]) -> None:
    found = told(eight_bits, values, "x.tif")
    exact = [float(value) for value in values.ravel()]
    if values.dtype == np.bool_:
        wanted: list[int] | None = [255 if value else 0 for value in exact]
    elif values.dtype == np.uint8 or (
        all(0 <= value <= 255 for value in exact) and (max(exact) >= 2 or not any(exact))
    ):
        wanted = [round(value) for value in exact]
    else:
        wanted = None
    assert (None if found is None else found.ravel().tolist()) == wanted


@settings(max_examples=1500, deadline=None)
@given(arrays(), st.integers(1, 16))
def test_values_whose_white_is_stated(values: NDArray[Any], bits: int) -> None:
    if values.dtype.kind not in "ui":
        values = np.nan_to_num(np.abs(values.astype("f8"))).clip(0, 2**30).astype("u4")
    found = told(eight_bits, values, "x.tif", 2**bits - 1)
    exact, white = [int(value) for value in values.ravel()], 2**bits - 1
    surplus = max(bits - 8, 0)
    if not all(0 <= value <= white for value in exact) or 0 < max(exact) < 2**surplus:
        wanted = None
    else:
        wanted = [value >> surplus if bits >= 8 else round(value * 255 / white) for value in exact]
    assert (None if found is None else found.ravel().tolist()) == wanted


@settings(max_examples=1500, deadline=None)
@given(arrays())
def test_class_ids_are_whole_numbers_or_refused(values: NDArray[Any]) -> None:
    found = told(class_ids, values, "x.tif")
    exact = [float(value) for value in values.ravel()]
    sound = all(value == value and abs(value) < 1e9 and abs(value - round(value)) <= TOLERANCE for value in exact)
    near = [round(value) for value in exact] if sound else []
    wanted = near if near and 0 <= min(near) <= max(near) <= 255 else None
    assert (None if found is None else found.ravel().tolist()) == wanted


def test_what_a_refusal_says() -> None:
    resampled = np.array([[0, 1.5, 3, 3], [0, 0, 2.25, 3]])
    message = "m.nii: 2 of 8 values are no class, the first 1.5 (wanted whole numbers to 0.01: was the mask resampled"
    with pytest.raises(DataError, match=re.escape(message)):
        class_ids(resampled, "m.nii")
    with pytest.raises(DataError, match=re.escape("m.nii: wanted classes of 0 to 255, got -1 to 300")):
        class_ids(np.array([[-1, 300]]), "m.nii")
    message = "i.tif: wanted values of 0 to 255, got 0 to 1 (TIFF, mode F): nothing says what is white"
    with pytest.raises(DataError, match=re.escape(message)):
        eight_bits(np.array([[0, 1.0]]), "i.tif", kind="TIFF, mode F")
    message = "i.png: wanted values of 0 to 65535, got 7 to 255 (uint16): all would be black"
    with pytest.raises(DataError, match=re.escape(message)):
        eight_bits(np.array([[7, 255]], np.uint16), "i.png", 65535)
    with pytest.raises(DataError, match=r"i.png: wanted real numbers, got complex64"):
        eight_bits(np.zeros((2, 2), np.complex64), "i.png")
    with pytest.raises(DataError, match=r"i.png: is empty"):
        eight_bits(np.zeros((0, 2), np.int16), "i.png")


def test_which_frame() -> None:
    assert [frame_of(1, None, "x"), frame_of(1, 0, "x"), frame_of(3, 2, "x"), frame_of(1, 7, "x", mask=True)] == [
        0,
        0,
        2,
        0,
    ]
    for frames, frame, message in (
        (3, None, "x: has 3 frames, and nothing says which one is meant"),
        (3, 3, r"x: has 3 frames, so there is no frame 3 \(they count from 0\)"),
        (3, -1, "no frame -1"),
        (1, 1, "has 1 frames, so there is no frame 1"),
    ):
        with pytest.raises(DataError, match=message):
            frame_of(frames, frame, "x")
    with pytest.raises(DataError, match="no frame 3"):
        frame_of(3, 3, "x", mask=True)
