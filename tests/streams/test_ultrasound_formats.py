"""Medical file formats, masks and tables, against other ways to read them and against what was written."""

import csv
import io
import math
import re
import tempfile
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.encaps import generate_frames
from pydicom.uid import UID, ExplicitVRLittleEndian, UltrasoundImageStorage
from scipy.special import ellipe
from tests.streams.fmc_root import fmc_root

from clbench.core.errors import DataError
from clbench.kinds import decode_rows
from clbench.spec.task import SPLITS
from clbench.streams.card import load_stream
from clbench.streams.ultrasound.csv_rows import read_csv
from clbench.streams.ultrasound.formats.by_name import image_in
from clbench.streams.ultrasound.formats.dicom import read_dicom
from clbench.streams.ultrasound.formats.ellipse import Ellipse, fitted
from clbench.streams.ultrasound.formats.metaimage import read_metaimage
from clbench.streams.ultrasound.formats.nifti import read_nifti


def real(name: str) -> Path:
    """A frame of a real ultrasound machine, from the package pydicom-data."""
    found = get_testdata_file(name, download=False)
    assert isinstance(found, str), f"{name} is not there: is pydicom-data installed?"
    return Path(found)


def test_rgb_as_it_is_in_the_file() -> None:
    dataset = pydicom.dcmread(real("US1_UNCR.dcm"))
    wanted = np.frombuffer(dataset.PixelData, np.uint8).reshape(480, 640, 3)
    assert (read_dicom(real("US1_UNCR.dcm")) == wanted).all()


def test_ybr_that_was_packed_without_loss_is_the_same_rgb() -> None:
    assert pydicom.dcmread(real("US1_J2KR.dcm")).PhotometricInterpretation == "YBR_RCT"
    assert (read_dicom(real("US1_J2KR.dcm")) == read_dicom(real("US1_UNCR.dcm"))).all()
    assert np.abs(read_dicom(real("US1_J2KI.dcm")).astype(int) - read_dicom(real("US1_UNCI.dcm"))).max() <= 1


def test_planes_and_pixels_of_colours() -> None:
    planes, pixels = real("color-pl.dcm"), real("color-px.dcm")
    dataset = pydicom.dcmread(planes)
    assert (dataset.PlanarConfiguration, pydicom.dcmread(pixels).PlanarConfiguration) == (1, 0)
    wanted = np.frombuffer(dataset.PixelData, np.uint8)[: 3 * 120 * 256].reshape(3, 120, 256).transpose(1, 2, 0)
    assert (read_dicom(planes) == wanted).all()
    assert (read_dicom(pixels) == wanted).all()


def table_of(dataset: pydicom.Dataset, colour: str, order: str) -> np.ndarray[Any, Any]:
    """The look-up table of a colour; segments are counts of values (0) or of steps to one (1), DICOM PS3.3 C.7.9.2."""
    words = np.frombuffer(dataset[f"Segmented{colour}PaletteColorLookupTableData"].value, order).astype(int)
    found, at = list[int](), 0
    while at < len(words):
        kind, count = words[at], words[at + 1]
        if kind == 0:
            found += list(words[at + 2 : at + 2 + count])
        else:
            assert kind == 1
            found += list(np.linspace(found[-1], words[at + 2], count + 1).round().astype(int)[1:])
        at += 2 + (count if kind == 0 else 1)
    return np.array(found)


@pytest.mark.parametrize(("name", "order"), [("gdcm-US-ALOKA-16.dcm", "<u2"), ("gdcm-US-ALOKA-16_big.dcm", ">u2")])
def test_a_palette_looked_up_by_hand(name: str, order: str) -> None:
    dataset = pydicom.dcmread(real(name))
    assert dataset.PhotometricInterpretation == "PALETTE COLOR"
    places = np.frombuffer(dataset.PixelData, order).reshape(480, 640).astype(int)
    channels = []
    for colour in ("Red", "Green", "Blue"):
        count, first, bits = dataset[f"{colour}PaletteColorLookupTableDescriptor"].value
        table = table_of(dataset, colour, order)
        assert (len(table), bits) == (count or 65536, 16)
        channels.append(table[np.clip(places - first, 0, len(table) - 1)] >> 8)
    found = read_dicom(real(name))
    assert np.abs(found - np.stack(channels, axis=-1)).max() <= 1  # rounding of steps
    assert found.max() > 200


def test_frames_of_a_loop_against_pillow() -> None:
    file = real("color3d_jpeg_baseline.dcm")
    dataset = pydicom.dcmread(file)
    assert dataset.PhotometricInterpretation == "YBR_FULL_422"
    frames = list(generate_frames(dataset.PixelData, number_of_frames=120))
    for number in (0, 7, 119):
        with Image.open(io.BytesIO(frames[number])) as image:
            wanted = np.asarray(image.convert("RGB"), dtype=int)
        assert np.abs(read_dicom(file, number) - wanted).max() <= 3
    assert (read_dicom(file, 0) != read_dicom(file, 119)).any()
    with pytest.raises(DataError, match="has 120 frames, and nothing says which one is meant"):
        read_dicom(file)
    with pytest.raises(DataError, match=r"has 120 frames, so there is no frame 120 \(they count from 0\)"):
        read_dicom(file, 120)


def write_dicom(path: Path, values: np.ndarray[Any, Any], kind: str, bits: int, signed: int = 0) -> Path:
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = UltrasoundImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = UID("1.2.3")
    dataset.Rows, dataset.Columns = values.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, kind
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8 * values.itemsize, bits, bits - 1
    dataset.PixelRepresentation, dataset.PixelData = signed, values.tobytes()
    dataset["PixelData"].VR = "OW" if values.itemsize > 1 else "OB"
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_greys_of_all_depths_and_signs(tmp_path: Path) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert (read_dicom(write_dicom(tmp_path / "a", grey, "MONOCHROME2", 8)) == grey).all()
    assert (read_dicom(write_dicom(tmp_path / "b", grey, "MONOCHROME1", 8)) == 255 - grey).all()
    twelve = (grey.astype(np.uint16) << 4) + 7
    assert (read_dicom(write_dicom(tmp_path / "c", twelve, "MONOCHROME2", 12)) == grey).all()
    assert (read_dicom(write_dicom(tmp_path / "d", twelve, "MONOCHROME1", 12)) == 255 - grey).all()
    signed = (grey.astype(np.int16) - 128).astype(np.int8)
    assert (read_dicom(write_dicom(tmp_path / "e", signed, "MONOCHROME2", 8, 1)) == grey).all()


@pytest.mark.parametrize(("cut", "message"), [(0, "damaged or not DICOM"), (5000, "its pixels cannot be read")])
def test_damaged_dicom(tmp_path: Path, cut: int, message: str) -> None:
    file = tmp_path / "cut.dcm"
    file.write_bytes(real("US1_UNCR.dcm").read_bytes()[:cut])
    with pytest.raises(DataError, match=re.escape(f"{file}: {message}")) as caught:
        read_dicom(file)
    assert "\n" not in str(caught.value)


def test_frames_in_the_layout_of_the_challenge(tmp_path: Path) -> None:
    root = fmc_root(tmp_path, each=3)
    file = tmp_path / "Detection" / "loop.dcm"
    file.write_bytes(real("color3d_jpeg_baseline.dcm").read_bytes())
    header = "image_path,task_id,task_name,x_min,y_min,x_max,y_max,frame,patient,split"
    rows = [f"../Detection/loop.dcm,fibroid_det,detection,1,2,300,200,{n},ann,test" for n in (0, 7)]
    root.csv("Det-One").write_text("\n".join([header, *rows]), encoding="utf-8")
    task = load_stream(root.card, str(tmp_path)).tasks[2]
    found = task.load("test")
    images: dict[int, Any] = {}

    def take(position: int, image: Image.Image) -> None:
        images[position] = np.asarray(image)

    truth = decode_rows(found, task, take)
    assert found["sample_id"][:] == ["fibroid/loop#0", "fibroid/loop#7"]
    assert truth["size"].to_pylist() == [[480, 640]] * 2
    assert (images[1] == read_dicom(file, 7)).all()
    assert [len(task.load(split)) for split in SPLITS] == [0, 0, 2]


def test_nifti_is_as_simpleitk_has_it(tmp_path: Path) -> None:
    upright = np.random.default_rng(0).integers(0, 256, (7, 11), dtype=np.uint8)
    for name, values in {
        "bytes.nii.gz": upright.T,
        "floats.nii": upright.T.astype(np.float32),
        "deep.nii.gz": upright.T[..., None],
    }.items():
        nibabel.save(nibabel.Nifti1Image(values, np.diag([0.3, 0.15, 1, 1])), tmp_path / name)
        assert (read_nifti(tmp_path / name) == upright).all()
        assert (SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / name))).squeeze() == upright).all()
    image = nibabel.Nifti1Image((upright.T // 2).astype(np.int16), np.eye(4))
    image.header.set_slope_inter(2, 1)
    nibabel.save(image, tmp_path / "scaled.nii.gz")
    scaled = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "scaled.nii.gz")))
    assert scaled.max() > 100
    assert (read_nifti(tmp_path / "scaled.nii.gz") == scaled).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((4, 5, 3), np.uint8), "wanted one frame, got an array of 4 x 5 x 3"),
        (np.full((4, 5), 300, np.int16), "wanted values of 0 to 255, got 300 to 300"),
        (np.full((4, 5), -1, np.int16), "wanted values of 0 to 255, got -1 to -1"),
        (np.full((4, 5), np.nan, np.float32), "wanted values of 0 to 255, got nan to nan"),
    ],
)
def test_nifti_that_is_no_image(tmp_path: Path, values: np.ndarray[Any, Any], message: str) -> None:
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii.gz")
    with pytest.raises(DataError, match=re.escape(f"{tmp_path / 'a.nii.gz'}: {message}")):
        read_nifti(tmp_path / "a.nii.gz")


def test_metaimage_of_slices_and_of_channels(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (7, 11), dtype=np.uint8)
    images = {
        "grey.mha": SimpleITK.GetImageFromArray(grey),
        "slices.mha": SimpleITK.GetImageFromArray(np.stack([grey] * 3)),
        "channels.mha": SimpleITK.GetImageFromArray(np.stack([grey] * 3, axis=-1), isVector=True),
        "beside.mhd": SimpleITK.GetImageFromArray(grey[None].astype(np.int16)),
    }
    for name, image in images.items():
        SimpleITK.WriteImage(image, str(tmp_path / name), name == "slices.mha")
        assert (read_metaimage(tmp_path / name) == grey).all(), name
    colours = np.stack([grey, grey, 255 - grey])
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(colours), str(tmp_path / "colours.mha"))
    with pytest.raises(DataError, match="wanted one grey frame, got an array of 3 x 7 x 11"):
        read_metaimage(tmp_path / "colours.mha")


def test_readers_go_by_the_end_of_a_name() -> None:
    readers = {
        name: image_in(Path(name)).read for name in ("a.png", "a.JPG", "a.NII.gz", "a.nii", "a.MHA", "a.mhd", "a.DCM")
    }
    assert [readers[name] for name in ("a.png", "a.JPG")] == [None, None]
    assert readers["a.NII.gz"] == readers["a.nii"] == read_nifti
    assert readers["a.MHA"] == readers["a.mhd"] == read_metaimage
    assert readers["a.DCM"] is not None


@settings(max_examples=60)
@given(
    st.tuples(st.floats(20, 140), st.floats(20, 90)),
    st.tuples(st.floats(12, 60), st.floats(12, 60)),
    st.floats(0, math.pi),
    st.booleans(),
)
def test_an_outline_is_fitted_also_where_the_border_cuts_it(
    centre: tuple[float, float], axes: tuple[float, float], angle: float, whole: bool
) -> None:
    (x, y), (a, b) = centre, axes
    turns = np.linspace(0, 2 * math.pi, 2000)
    along, across = a * np.cos(turns), b * np.sin(turns)
    xs = np.rint(x + along * math.cos(angle) - across * math.sin(angle)).astype(int)
    ys = np.rint(y + along * math.sin(angle) + across * math.cos(angle)).astype(int)
    low = -200 if whole else 0
    marks = np.zeros((400, 400), bool)
    inside = (xs >= low) & (ys >= low) & (xs < 200) & (ys < 200)
    marks[ys[inside] - low, xs[inside] - low] = True
    found = fitted(marks)
    wanted = Ellipse(x - low, y - low, a, b, angle)
    one, other = found.filled((400, 400)), wanted.filled((400, 400))
    assert 2 * (one & other).sum() > (0.98 if whole else 0.95) * (one.sum() + other.sum())


@given(st.floats(1, 100), st.floats(1, 100))
def test_the_circumference_against_the_elliptic_integral(a: float, b: float) -> None:
    large, small = max(a, b), min(a, b)
    exact = 4 * large * ellipe(1 - (small / large) ** 2)
    assert Ellipse(0, 0, a, b, 0).circumference == pytest.approx(exact, rel=0.005)  # best for round ones
    if small > large / 3:
        assert Ellipse(0, 0, a, b, 0).circumference == pytest.approx(exact, rel=1e-4)


TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=8)


@settings(max_examples=100)
@given(st.lists(st.tuples(TEXTS, TEXTS.filter(str.strip)), min_size=1, max_size=5), st.sampled_from([",", ";"]))
def test_tables_are_read_as_they_were_written(rows: list[tuple[str, str]], separator: str) -> None:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=separator).writerows([(" one", "two "), *rows])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.csv"
        file.write_bytes(buffer.getvalue().encode())
        found = read_csv(file, ("one",), separator)
    assert [(row.cells["one"], row.cells["two"]) for row in found] == rows
    assert [row.number for row in found] == list(range(2, len(rows) + 2))
