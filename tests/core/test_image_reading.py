"""Images of every mode and depth in every format of Pillow that holds them, against their numbers; and damaged ones."""

import colorsys
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from clbench.core.errors import DataError
from clbench.core.image_reading import name_of, read_cell, read_ids, read_image

HEIGHT, WIDTH = 9, 11
SIXTEEN = {"I;16": "<u2", "I;16L": "<u2", "I;16B": ">u2"}
CHANNELS = {"L": 1, "P": 1, "LA": 2, "PA": 2, "RGB": 3, "RGBA": 4, "RGBX": 4, "CMYK": 4, "YCbCr": 3, "LAB": 3, "HSV": 3}
MODES = ("1", *CHANNELS, *SIXTEEN, "I", "F")
FORMATS = ("PNG", "TIFF", "JPEG", "GIF", "WEBP", "BMP", "PPM", "JPEG2000", "TGA", "PCX", "ICO", "SGI", "AVIF")
LOSSY = ("JPEG", "WEBP", "AVIF", "JPEG2000")
COMPLETE = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "TIFF": tuple(mode for mode in MODES if mode not in ("HSV", "I")),
}
"""Formats and some of the modes that they must be able to hold, so that no test is empty."""


def palette() -> NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, (256, 3), dtype=np.uint8)


def made(mode: str, seed: int, flat: bool) -> tuple[Image.Image, NDArray[Any]]:
    """An image of a mode and its numbers; flat ones are of one colour, which survives a loss."""
    rng = np.random.default_rng(seed)
    most = {"1": 2, "I": 2**16, "F": 256}.get(mode, 2**16 if mode in SIXTEEN else 256)
    shape = (HEIGHT, WIDTH, CHANNELS.get(mode, 1))
    values = rng.integers(0, most, (1, 1, shape[2])) + np.zeros(shape, int) if flat else rng.integers(0, most, shape)
    if mode == "1":
        return Image.fromarray(values[..., 0].astype(np.uint8) * 255).convert("1"), values
    if mode in SIXTEEN:
        return Image.frombytes(mode, (WIDTH, HEIGHT), values.astype(SIXTEEN[mode]).tobytes()), values
    if mode in "IF":
        return Image.fromarray(values[..., 0].astype({"I": np.int32, "F": np.float32}[mode])), values
    image = Image.frombytes(mode, (WIDTH, HEIGHT), values.astype(np.uint8).tobytes())
    if mode in ("P", "PA"):
        image.putpalette(palette().tobytes())
    return image, values


def wanted(mode: str, values: NDArray[Any]) -> Any:
    """The image in RGB by the definition of its mode; None where it cannot be known."""
    first, rest = values[..., :1], values.astype(float)
    if mode == "1":
        return np.repeat(first * 255, 3, -1)
    if mode in ("L", "LA"):
        return np.repeat(first, 3, -1)
    if mode in ("P", "PA"):
        return palette()[values[..., 0]]
    if mode.startswith("RGB"):
        return values[..., :3]
    if mode == "CMYK":
        return (255 - rest[..., :3]) * (255 - rest[..., 3:]) / 255
    if mode == "YCbCr":  # JFIF 1.02
        y, blue, red = rest[..., 0], rest[..., 1] - 128, rest[..., 2] - 128
        return np.stack([y + 1.402 * red, y - 0.344136 * blue - 0.714136 * red, y + 1.772 * blue], -1).clip(0, 255)
    if mode == "HSV":
        flat = [colorsys.hsv_to_rgb(*(pixel / 255)) for pixel in rest.reshape(-1, 3)]
        return np.array(flat).reshape(HEIGHT, WIDTH, 3) * 255
    if mode == "LAB":
        return lab(rest)
    if mode == "F":
        return np.repeat(first, 3, -1) if first.max() >= 2 or not first.any() else None
    return np.repeat(first >> 8, 3, -1) if first.max() > 255 or not first.any() else None  # 16 bits


def lab(rest: NDArray[Any]) -> NDArray[Any]:
    """CIE L*a*b* of D50 in sRGB, whose primaries are adapted to D50 (the matrix is that of ICC's sRGB profile).

    NaN for colours that sRGB does not have, or barely: how they are brought into it is the converter's affair.
    """
    light, a, b = rest[..., 0] * 100 / 255, (rest[..., 1] + 128) % 256 - 128, (rest[..., 2] + 128) % 256 - 128
    f = np.stack([(light + 16) / 116 + a / 500, (light + 16) / 116, (light + 16) / 116 - b / 200], -1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * [0.9642, 1.0, 0.8249]
    matrix = np.array([[0.4360, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])
    linear = xyz @ np.linalg.inv(matrix).T
    linear[((linear < 0.1) | (linear > 1)).any(-1)] = np.nan
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes | None:
    """The file; None where the format does not hold the mode as it is."""
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.save(buffer, kind, **options)
        stored = Image.open(io.BytesIO(buffer.getvalue())).mode
    except (KeyError, OSError, ValueError):
        return None
    same = {image.mode, {"RGBX": "RGB", "I;16L": "I;16", "YCbCr": "RGB" if kind == "JPEG" else ""}.get(image.mode, "")}
    deep = {"I;16", "I;16B"} if image.mode in SIXTEEN else set()
    return buffer.getvalue() if stored in same | deep or (kind == "PPM" and image.mode in (*SIXTEEN, "I")) else None


def told(data: bytes, read: Callable[..., Any] = read_image) -> NDArray[np.uint8] | str:
    """The image, or the one line that refuses it."""
    try:
        return np.asarray(read(data, "the image"))
    except DataError as error:
        line = str(error)
    assert line.startswith("the image")
    assert "\n" not in line
    return line


@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), flat=st.booleans())
def test_every_mode_in_every_format_is_its_numbers_or_refused(mode: str, seed: int, flat: bool) -> None:
    held = []
    for kind in FORMATS:
        image, values = made(mode, seed, flat or kind in LOSSY)
        data = encoded(image, kind)
        if data is None or (mode, kind) == ("I;16B", "JPEG2000"):  # for which Pillow exchanges the bytes when it writes
            continue
        held.append(kind)
        right = wanted(mode, values)
        if mode == "I" and kind == "TIFF":  # 32 bits with a sign, of which nothing says what is white
            right = np.repeat(values, 3, -1) if 2 <= values.max() <= 255 else None
        found = told(data)
        assert isinstance(found, str) == (right is None), f"{kind}: {found!s:.200}"
        if isinstance(found, str) or right is None:
            continue
        near = 12 if kind in LOSSY else {"CMYK": 1.01, "YCbCr": 1.5, "LAB": 14}.get(mode, 0)
        if kind in LOSSY and mode in ("YCbCr", "CMYK"):
            continue  # what a lossy format makes of them is its own affair
        assert not (np.abs(found - right) > near).any(), kind
    assert {kind for kind, modes in COMPLETE.items() if mode in modes} <= set(held)


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("inverted", [False, True])
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_tiff_by_hand(bits: int, inverted: bool, seed: int) -> None:
    """Little-endian TIFF of one strip, written here: 12 bits, which Pillow does not write, and white that is zero."""
    values = np.random.default_rng(seed).integers(0, 2**bits, (4, 6))
    if bits == 12:
        if inverted:
            return  # Pillow does not read it
        pairs = values.reshape(-1, 2)
        data = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], -1)
        strip = data.astype(np.uint8).tobytes()
    else:
        strip = values.astype("<u2").tobytes()
    file = tiff({256: 6, 257: 4, 258: bits, 259: 1, 262: int(not inverted), 277: 1, 278: 4}, strip)
    grey = values >> (bits - 8)
    found = np.asarray(read_image(file, "the image", "L"))
    assert (found == (255 - grey if inverted else grey)).all()


def tiff(tags: dict[int, int], strip: bytes) -> bytes:
    """A TIFF file of one strip with tags of one short each."""
    tags = {**tags, 273: 8, 279: len(strip)}
    entries = b"".join(
        np.array([tag, 3], "<u2").tobytes() + np.array([1, value], "<u4").tobytes()
        for tag, value in sorted(tags.items())
    )
    start = 8 + len(strip)
    return b"II*\0" + start.to_bytes(4, "little") + strip + len(tags).to_bytes(2, "little") + entries + bytes(4)


def test_signed_samples_of_8_bits_are_no_bright_ones() -> None:
    tags = {256: 3, 257: 1, 258: 8, 259: 1, 262: 1, 277: 1, 278: 1, 339: 2}
    assert np.asarray(read_image(tiff(tags, bytes([0, 5, 127])), "x", "L")).tolist() == [[0, 5, 127]]
    with pytest.raises(DataError, match=r"x: wanted values of 0 to 255, got -1 to 5 \(TIFF, signed\)"):
        read_image(tiff(tags, bytes([0, 5, 255])), "x", "L")


def test_colours_of_16_bits_keep_their_upper_8() -> None:
    values = np.random.default_rng(0).integers(0, 65536, (4, 6, 3))
    tags = {256: 6, 257: 4, 259: 1, 262: 2, 277: 3, 278: 4}
    file = tiff({**tags, 258: 16}, values.astype("<u2").tobytes())
    assert (np.asarray(read_image(file, "x")) == values >> 8).all()
    with pytest.raises(
        DataError, match=r"x: wanted .* got none above 255 \(TIFF, 16 bits, mode RGB\): all would be black"
    ):
        read_image(tiff({**tags, 258: 16}, (values >> 8).astype("<u2").tobytes()), "x")


def test_bits_of_black_and_of_masks() -> None:
    assert not np.asarray(read_image(file_of(np.zeros((3, 4), np.uint16)), "x")).any()
    ids = np.arange(12, dtype=np.uint16).reshape(3, 4)
    assert (read_ids(file_of(ids), "the mask") == ids).all()
    with pytest.raises(DataError, match="wanted classes of 0 to 255, got 0 to 2816"):
        read_ids(file_of(ids * 256), "the mask")
    assert (read_ids(file_of(ids.astype(np.float32), "TIFF"), "the mask") == ids).all()
    with pytest.raises(DataError, match=r"the mask: 1 of 12 values are no class, the first 1\.5"):
        read_ids(file_of(np.where(ids == 1, 1.5, ids).astype(np.float32), "TIFF"), "the mask")
    with pytest.raises(DataError, match="the mask: JPEG changes class ids"):
        read_ids(file_of(ids.astype(np.uint8), "JPEG"), "the mask")


def file_of(values: NDArray[Any], kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "WEBP", "PNG"])
def test_frames(kind: str) -> None:
    frames = [np.full((8, 8, 3), 40 * number, np.uint8) for number in range(1, 5)]
    later = [Image.fromarray(frame) for frame in frames[1:]]
    options = {"lossless": True} if kind == "WEBP" else {}
    file = file_of(frames[0], kind, save_all=True, append_images=later, **options)
    for number, frame in enumerate(frames):
        assert (np.asarray(read_image(file, "x", frame=number)) == frame).all()
        assert (read_ids(file, "x", frame=number) == frame[..., 0]).all() or kind == "GIF"  # whose palette is its own
    for wrong in (4, -1):
        with pytest.raises(DataError, match=f"x: has 4 frames, so there is no frame {wrong}"):
            read_image(file, "x", frame=wrong)
    for read in (read_image, read_ids):
        with pytest.raises(DataError, match="x: has 4 frames, and nothing says which one is meant"):
            read(file, "x")
    one = file_of(frames[0], kind, **options)
    assert (np.asarray(read_image(one, "x", frame=0)) == frames[0]).all()
    with pytest.raises(DataError, match="x: has 1 frames, so there is no frame 1"):
        read_image(one, "x", frame=1)
    assert read_ids(file_of(np.ones((2, 3), np.uint8), kind), "x", frame=7).shape == (2, 3)  # the mask of frame 7


def test_a_cameras_previews_are_no_frames() -> None:
    main, preview = np.full((16, 16, 3), 200, np.uint8), Image.new("RGB", (8, 8))
    file = file_of(main, "MPO", save_all=True, append_images=[preview])
    assert Image.open(io.BytesIO(file)).format == "MPO"
    assert (np.asarray(read_image(file, "x")) == 200).all()


def test_cells(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(file_of(np.full((2, 2), 7, np.uint8)))
    assert np.asarray(read_cell({"bytes": None, "path": str(file)})).max() == 7
    assert np.asarray(read_cell({"bytes": file.read_bytes(), "path": "elsewhere.png"})).max() == 7
    for cell in (None, {"bytes": None, "path": None}):
        with pytest.raises(DataError, match="the image is missing"):
            read_cell(cell)
    with pytest.raises(DataError, match=r"the image .*none\.png does not decode"):
        read_cell({"bytes": None, "path": str(tmp_path / "none.png")})
    assert name_of({"bytes": b"x", "path": None}, "the mask") == "the mask"


DEEP = np.random.default_rng(0).integers(0, 65536, (12, 14)).astype(np.uint16)
COLOURS = np.random.default_rng(0).integers(0, 256, (12, 14, 3), dtype=np.uint8)
SOUND = {
    **{
        kind: file_of(COLOURS, kind)
        for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
    },
    "deep PNG": file_of(DEEP),
    "deep TIFF": file_of(DEEP, "TIFF"),
    "deflated TIFF": file_of(COLOURS, "TIFF", compression="tiff_adobe_deflate"),
    "frames": file_of(COLOURS, "GIF", save_all=True, append_images=[Image.fromarray(COLOURS[::-1])]),
}


@pytest.mark.filterwarnings("ignore")  # Pillow's, of damaged tags
@pytest.mark.parametrize("name", SOUND)
@settings(max_examples=120, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), cut=st.booleans())
def test_damaged_files_are_one_line(name: str, place: float, bit: int, cut: bool) -> None:
    data = bytearray(SOUND[name])
    at = int(place * len(data))
    if cut:
        del data[at:]
    else:
        data[at] ^= 1 << bit
    for read in (read_image, read_ids):
        found = told(bytes(data), read)
        if name == "PNG" and read is read_image and not isinstance(found, str):  # which has checksums
            assert (found == COLOURS).all()
