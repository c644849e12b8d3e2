"""Images and masks in NIfTI, MetaImage and DICOM: every type of number, scale, frame and damage, against NumPy."""

import gzip
import re
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.uid import UID, ExplicitVRLittleEndian, UltrasoundImageStorage

from clbench.core.errors import DataError
from clbench.core.image_reading import read_ids, read_image
from clbench.core.image_values import TOLERANCE
from clbench.streams.ultrasound.formats.by_name import image_in
from clbench.streams.ultrasound.formats.dicom import read_dicom
from clbench.streams.ultrasound.formats.metaimage import read_metaimage
from clbench.streams.ultrasound.formats.nifti import read_nifti

CODES = {
    "u1": 2,
    "i2": 4,
    "i4": 8,
    "f4": 16,
    "c8": 32,
    "f8": 64,
    "i1": 256,
    "u2": 512,
    "u4": 768,
    "i8": 1024,
    "u8": 1280,
}
"""Of NIfTI-1, by NumPy's names."""
COLOURS = 128
"""NIfTI's code of three bytes a sample."""
FEW = st.sampled_from(
    [(0, 1), (0, 3), (0, 1, 2, 3), (0, 127, 255), (0, 300, 4000), (-1, 5), (0.0, 1.5, 3.0), (0, 1 / 256), (0, np.nan)]
)


def nifti(
    values: NDArray[Any], code: int, order: Any = "<", scale: tuple[float, float] = (0.0, 0.0), second: bool = False
) -> bytes:
    """A NIfTI file with slope and intercept: header, four bytes, samples with the first axis fastest."""
    slope, inter = scale
    dim = [values.ndim, *values.shape, *[1] * (7 - values.ndim)]
    size = values.dtype.itemsize
    if second:
        head = bytearray(540)
        struct.pack_into(f"{order}i8shh8q", head, 0, 540, b"n+2\0\r\n\x1a\n", code, 8 * size, *dim)
        struct.pack_into(f"{order}8d", head, 104, *[1.0] * 8)
        struct.pack_into(f"{order}qdd", head, 168, 544, slope, inter)
    else:
        head = bytearray(348)
        struct.pack_into(f"{order}i", head, 0, 348)
        struct.pack_into(f"{order}8h", head, 40, *dim)
        struct.pack_into(f"{order}hh", head, 70, code, 8 * size)
        struct.pack_into(f"{order}8f", head, 76, *[1.0] * 8)
        struct.pack_into(f"{order}fff", head, 108, 352, slope, inter)
        head[344:348] = b"n+1\0"
    stored = values if values.dtype.names or size == 1 else values.astype(values.dtype.newbyteorder(order))
    return bytes(head) + bytes(4) + stored.tobytes(order="F")


def read_or_none(read: Callable[..., Any], file: Path, *args: Any, **options: Any) -> NDArray[np.uint8] | None:
    """What a reader gives; None where it refuses the file in one line that names it."""
    try:
        found: NDArray[np.uint8] = read(file, *args, **options)
    except DataError as error:
        line = str(error)
    else:
        assert found.dtype == np.uint8
        return found
    assert str(file) in line
    assert "\n" not in line
    return None


def right(exact: NDArray[Any], mask: bool, bytes_already: bool) -> NDArray[Any] | None:
    """What must come of values: the rule, written down a second time; None where they must be refused."""
    near = np.rint(exact)
    if not np.isfinite(exact).all():
        return None
    if mask:
        sound = (np.abs(exact - near) <= TOLERANCE).all() and 0 <= near.min() <= near.max() <= 255
    else:
        known = bytes_already or exact.max() >= 2 or not exact.any()
        sound = exact.min() >= 0 and exact.max() <= 255 and known
    return near if sound else None


@pytest.mark.parametrize("kind", CODES)
@settings(max_examples=60, deadline=None)
@given(
    few=FEW,
    seed=st.integers(0, 2**32),
    scale=st.tuples(
        st.sampled_from([0.0, 1.0, 2.0, 0.5, -1.0, 100.0, float("nan"), float("inf")]),
        st.sampled_from([0.0, 1.0, 0.5, -5.0, float("nan")]),
    ),
    form=st.tuples(st.sampled_from("<>"), st.booleans(), st.booleans(), st.booleans()),
)
def test_nifti_of_every_type_and_scale(
    kind: str,
    few: tuple[float, ...],
    seed: int,
    scale: tuple[float, float],
    form: tuple[str, bool, bool, bool],
) -> None:
    (slope, inter), (order, second, packed, mask) = scale, form
    rng = np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        values = rng.choice(np.array(few, dtype="f8"), size=(5, 4)).astype(kind)
    data = nifti(values, CODES[kind], order, scale, second)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / ("a.nii.gz" if packed else "a.nii")
        file.write_bytes(gzip.compress(data) if packed else data)
        found = read_or_none(read_nifti, file, mask=mask)
    scaled = np.isfinite(slope) and slope != 0
    if kind == "c8" or (scaled and not np.isfinite(inter)):
        assert found is None
        return
    exact = values.astype("f8") * slope + inter if scaled else values.astype("f8")
    wanted = right(exact, mask, kind == "u1" and not (scaled and (slope, inter) != (1, 0)))
    assert (None if found is None else found.tolist()) == (None if wanted is None else wanted.T.astype(int).tolist())


def test_nifti_of_colours_is_refused(tmp_path: Path) -> None:
    values = np.zeros((5, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    (tmp_path / "a.nii").write_bytes(nifti(values, COLOURS))
    with pytest.raises(DataError, match=r"a\.nii: wanted real numbers, got \["):
        read_nifti(tmp_path / "a.nii")


SIMPLE_ITK = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")


@pytest.mark.parametrize("kind", SIMPLE_ITK)
@settings(max_examples=30, deadline=None)
@given(
    few=FEW,
    seed=st.integers(0, 2**32),
    mask=st.booleans(),
    form=st.tuples(st.sampled_from(["mha", "mhd"]), st.booleans()),
)
def test_metaimage_of_every_type(
    kind: str, few: tuple[float, ...], seed: int, mask: bool, form: tuple[str, bool]
) -> None:
    end, packed = form
    with np.errstate(all="ignore"):
        values = np.random.default_rng(seed).choice(np.array(few, dtype="f8"), size=(5, 4)).astype(kind)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"a.{end}"
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values), str(file), packed)
        found = read_or_none(read_metaimage, file, mask=mask)
    wanted = right(values.astype("f8"), mask, kind == "u1")
    assert (None if found is None else found.tolist()) == (None if wanted is None else wanted.astype(int).tolist())


def dicom(path: Path, values: NDArray[Any], bits: int, signed: bool = False, frames: int = 0, **more: Any) -> Path:
    """An uncompressed DICOM file; `(frames, height, width)` where there are several frames."""
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = UltrasoundImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = UID("1.2.3")
    dataset.Rows, dataset.Columns = values.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8 * values.itemsize, bits, bits - 1
    dataset.PixelRepresentation, dataset.PixelData = int(signed), values.tobytes()
    dataset["PixelData"].VR = "OW" if values.itemsize > 1 else "OB"
    if frames:
        dataset.NumberOfFrames = frames
    for name, value in more.items():
        setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


@settings(max_examples=250, deadline=None)
@given(
    bits=st.integers(1, 16),
    seed=st.integers(0, 2**32),
    form=st.tuples(st.booleans(), st.booleans()),
    shift=st.integers(0, 12),
    mask=st.booleans(),
)
def test_dicom_of_every_depth(bits: int, seed: int, form: tuple[bool, bool], shift: int, mask: bool) -> None:
    signed, inverted = form
    least = -(2 ** (bits - 1)) if signed else 0
    span = max(2**bits >> shift, 1)
    values = np.random.default_rng(seed).integers(least, least + span, (4, 6))
    kind = f"{'i' if signed else 'u'}{1 if bits <= 8 else 2}"
    with tempfile.TemporaryDirectory() as folder:
        photometric = "MONOCHROME1" if inverted else "MONOCHROME2"
        file = dicom(Path(folder) / "a.dcm", values.astype(kind), bits, signed, PhotometricInterpretation=photometric)
        found = read_or_none(read_dicom, file, mask=mask)
    if mask:  # ids are taken as they are stored
        wanted = right(values.astype("f8"), True, False)
    else:
        stored, white, surplus = values - least, 2**bits - 1, max(bits - 8, 0)
        stored = white - stored if inverted else stored
        grey = stored >> surplus if bits >= 8 else np.rint(stored * 255 / white)
        wanted = None if 0 < stored.max() < 2**surplus else grey
    assert (None if found is None else found.tolist()) == (None if wanted is None else wanted.tolist())


def test_dicom_masks(tmp_path: Path) -> None:
    ids = np.arange(12, dtype=np.uint16).reshape(3, 4)
    assert (read_dicom(dicom(tmp_path / "a.dcm", ids, 16), mask=True) == ids).all()
    scaled = dicom(tmp_path / "b.dcm", ids * 2, 16, RescaleSlope=0.5, RescaleIntercept=0)
    assert (read_dicom(scaled, mask=True) == ids).all()
    between = dicom(tmp_path / "c.dcm", ids, 16, RescaleSlope=0.5, RescaleIntercept=0)
    with pytest.raises(DataError, match=re.escape("6 of 12 values are no class, the first 0.5")):
        read_dicom(between, mask=True)


def test_samples_with_more_bits_than_a_file_states(tmp_path: Path) -> None:
    values = np.array([[0, 4095, 4096 + 77]], np.uint16)
    assert read_dicom(dicom(tmp_path / "a.dcm", values, 12)).tolist() == [[0, 255, 77 >> 4]]


FRAMES = np.stack([np.full((5, 4), 10 * number, np.uint8) + np.arange(4, dtype=np.uint8) for number in range(1, 7)])


def write_frames(folder: Path, name: str, frames: NDArray[Any]) -> Path:
    """Frames `(n, height, width)` in the format of a name."""
    from PIL import Image

    file = folder / name
    if ".nii" in name:
        axes = frames.transpose(2, 1, 0)
        axes = axes if len(frames) > 1 else axes[..., 0]
        data = nifti(axes[:, :, None, :] if name.startswith("loop") and len(frames) > 1 else axes, 2)
        file.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    elif name.endswith((".mha", ".mhd")):
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(frames if len(frames) > 1 else frames[0]), str(file), True)
    elif name.endswith(".dcm"):
        dicom(file, frames, 8, frames=len(frames))
    else:
        images = [Image.fromarray(frame) for frame in frames]
        options: dict[str, Any] = {"lossless": True, "exact": True} if name.endswith(".webp") else {}
        images[0].save(file, save_all=True, append_images=images[1:], **options)
    return file


NAMES = ("a.nii", "a.nii.gz", "loop.nii", "a.mha", "a.mhd", "a.dcm", "a.tif", "a.png", "a.webp", "a.gif")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("frames", [1, 2, 3, 6])
@pytest.mark.parametrize("mask", [False, True])
def test_the_frame_that_is_named(tmp_path: Path, name: str, frames: int, mask: bool) -> None:
    file = write_frames(tmp_path, name, FRAMES[:frames])

    def read(frame: int | None) -> NDArray[np.uint8]:
        """The image or mask, as whoever decodes the rows gets it."""
        cell = image_in(file, frame, mask).cell()
        source = cell["bytes"] if isinstance(cell["bytes"], bytes) else str(cell["path"])
        if mask and not name.endswith(".gif"):  # whose ids are places in a palette
            return read_ids(source, f"the mask {file}")
        return np.asarray(read_image(source, f"the image {file}", "L"))

    for number in range(frames):
        assert (read(number) == FRAMES[number]).all() or (mask and name.endswith(".gif"))
    if frames == 1:
        assert (read(None) == FRAMES[0]).all()
    else:
        with pytest.raises(DataError, match=rf"{re.escape(str(file))}.*(nothing says which|wanted one)"):
            read(None)
    if frames == 1 and mask:
        assert (read(7) == FRAMES[0]).all() or name.endswith(".gif")  # the mask of frame 7
    else:
        with pytest.raises(DataError, match=rf"has {frames} frames, so there is no frame {frames} "):
            read(frames)
    if frames > 1:
        with pytest.raises(DataError, match="no frame -1"):
            read(-1)


SOUND_BYTES = np.random.default_rng(0).integers(0, 256, (12, 14), dtype=np.uint8)


def sound_files() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        image = SimpleITK.GetImageFromArray(SOUND_BYTES)
        for name, packed in {"packed.mha": True, "plain.mha": False}.items():
            SimpleITK.WriteImage(image, str(home / name), packed)
        dicom(home / "a.dcm", SOUND_BYTES, 8)
        plain = nifti(SOUND_BYTES.T, 2)
        return {
            **{file.name: file.read_bytes() for file in home.iterdir()},
            "plain.nii": plain,
            "second.nii": nifti(SOUND_BYTES.T, 2, second=True),
            "packed.nii.gz": gzip.compress(plain, mtime=0),
        }


SOUND = sound_files()


@pytest.mark.parametrize("name", SOUND)
@settings(max_examples=250, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), cut=st.booleans(), frame=st.none() | st.just(0))
def test_damaged_files_are_one_line(name: str, place: float, bit: int, cut: bool, frame: int | None) -> None:
    data = bytearray(SOUND[name])
    at = int(place * len(data))
    if cut:
        del data[at:]
    else:
        data[at] ^= 1 << bit
    checked = name == "packed.nii.gz" or (name == "packed.mha" and at >= SOUND[name].index(b"LOCAL") + 6)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_bytes(bytes(data))
        for mask in (False, True):
            read = image_in(file, frame, mask).read
            assert read is not None
            found = read_or_none(read, file)
            if checked and found is not None:  # such a file has a checksum: nothing else may come of it
                assert (found == SOUND_BYTES).all()
            if cut and name != "a.dcm":
                assert found is None


def test_what_is_said_of_damage(tmp_path: Path) -> None:
    packed = bytearray(SOUND["packed.nii.gz"])
    packed[-6] ^= 1
    (tmp_path / "a.nii.gz").write_bytes(packed)
    with pytest.raises(DataError, match=r"a\.nii\.gz: damaged or not NIfTI: CRC check failed"):
        read_nifti(tmp_path / "a.nii.gz")
    packed[10] |= 6  # a kind of block that there is not
    (tmp_path / "a.nii.gz").write_bytes(packed)
    with pytest.raises(DataError, match=r"a\.nii\.gz: damaged or not NIfTI: Error -3 while decompressing"):
        read_nifti(tmp_path / "a.nii.gz")
    packed = bytearray(SOUND["packed.mha"])
    packed[-1] ^= 1
    (tmp_path / "a.mha").write_bytes(packed)
    with pytest.raises(DataError, match=r"a\.mha: damaged: Error -3 while decompressing data: incorrect data check"):
        read_metaimage(tmp_path / "a.mha")
    (tmp_path / "a.mha").write_bytes(packed[:-1])
    with pytest.raises(DataError, match=r"a\.mha: damaged: its compressed samples end too early"):
        read_metaimage(tmp_path / "a.mha")
