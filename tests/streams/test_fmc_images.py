"""Images of more than 8 bits, of several frames, damaged and resampled ones, from FMC_UIA's layout to tensors."""

import gzip
import re
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.streams.fmc_root import FmcRoot, fmc_root
from tests.streams.test_medical_values import FRAMES, NAMES, write_frames

from clbench.benchmarks.engine.samples import SampleEncoder
from clbench.contracts import Samples, Task
from clbench.core.errors import BrokenSamplesError, DataError
from clbench.learners._vit.encoding import encoded
from clbench.streams.card import load_stream
from clbench.streams.ultrasound.check_fmc import check_stream

HEADER = "image_path,mask_path,task_id,task_name,num_classes,patient,split,frame"
IDS = np.array([[0, 0, 1, 2, 2, 0]] * 5, np.uint8)
GREY = np.random.default_rng(0).integers(0, 256, (5, 6), dtype=np.uint8)


class Encodes:
    """What is wanted of a learner here."""

    def encode(self, rows: Any, task: Task) -> Samples:
        return encoded(rows, task, 8)


def samples(task: Task, skip_broken: bool = False) -> Samples:
    """The test part, encoded; the chunk is the only one."""
    learner: Any = Encodes()
    (chunk,) = SampleEncoder(learner, skip_broken).chunks(task.load("test"), task, "test")
    return chunk


def heart(root: FmcRoot, *rows: str) -> Task:
    """The task of segmentation with these rows: image, mask and frame below the root."""
    lines = [HEADER]
    for number, row in enumerate(rows):
        image, mask, frame = row.split()
        lines.append(f"../{image},../{mask},cardiac_multi,segmentation,3,p{number},test,{frame.strip('-')}")
    root.csv("Seg-Two").write_text("\n".join(lines), encoding="utf-8")
    return load_stream(root.card, str(root.folder)).tasks[0]


@pytest.fixture
def root(tmp_path: Path) -> FmcRoot:
    return fmc_root(tmp_path, each=3)


def save(root: FmcRoot, name: str, values: NDArray[Any]) -> None:
    file = root.folder / name
    if ".nii" in name:
        image = nibabel.Nifti1Image(values.T, np.eye(4))
        nibabel.save(image, file)
    else:
        Image.fromarray(values).save(file)


@pytest.mark.parametrize("mask", ["m.nii.gz", "m.nii", "m.tif"])
def test_a_mask_that_was_resampled_linearly(root: FmcRoot, mask: str) -> None:
    save(root, "a.png", GREY)
    save(root, mask, IDS.astype(np.float32) + np.float32(0.004))
    (found,) = samples(heart(root, f"a.png {mask} -")).truth["mask"].to_pylist()
    assert found is not None  # what a change of type leaves
    between = IDS.astype(np.float32)
    between[2, 3:5] = 1.5  # between the classes 0 and 2 is no class 2, nor 1
    save(root, mask, between)
    message = rf"row 2: .*{re.escape(mask)}: 2 of 30 values are no class, the first 1\.5"
    with pytest.raises(BrokenSamplesError, match=message):
        samples(heart(root, f"a.png {mask} -"))


@pytest.mark.parametrize("name", ["a.tif", "a.nii.gz", "a.nii"])
def test_an_image_of_shares_of_white(root: FmcRoot, name: str) -> None:
    save(root, "m.png", IDS)
    save(root, name, (GREY / 255).astype(np.float32))
    message = rf"row 2: .*{re.escape(name)}.*: wanted values of 0 to 255, got 0\.\d+ to .*: nothing says what is white"
    with pytest.raises(BrokenSamplesError, match=message) as caught:
        samples(heart(root, f"{name} m.png -"))
    assert "\n" not in str(caught.value)
    save(root, name, GREY.astype(np.float32))
    assert samples(heart(root, f"{name} m.png -")).tensors["image"].max() > 100


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_one_file_are_its_frames(root: FmcRoot, name: str) -> None:
    write_frames(root.folder, name, FRAMES[:4])
    save(root, "m.png", IDS[:, :4])
    rows = [f"{name} m.png {frame}" for frame in (3, 0, 2)]
    found = samples(heart(root, *rows))
    assert found.ids.to_pylist() == [f"heart/{Path(name).stem}#{frame}" for frame in (3, 0, 2)]
    middle = found.tensors["image"].float().mean((1, 2, 3)).tolist()
    assert middle == pytest.approx([FRAMES[frame].mean() for frame in (3, 0, 2)], abs=3)
    for frame, message in {"-": "(nothing says which|wanted one)", "4": "has 4 frames, so there is no frame 4"}.items():
        with pytest.raises(BrokenSamplesError, match=message) as caught:
            samples(heart(root, f"{name} m.png {frame}"))
        assert str(root.folder / name) in str(caught.value)


def test_a_stack_of_masks_goes_with_a_stack_of_images(root: FmcRoot) -> None:
    write_frames(root.folder, "a.nii.gz", FRAMES[:3])
    masks = np.stack([np.full((5, 4), number, np.uint8) for number in (1, 2, 1)])
    write_frames(root.folder, "m.nii.gz", masks)
    write_frames(root.folder, "m.tif", masks)
    for mask in ("m.nii.gz", "m.tif"):
        rows = [f"a.nii.gz {mask} {frame}" for frame in range(3)]
        assert samples(heart(root, *rows)).tensors["mask"].float().mean((1, 2)).tolist() == [1, 2, 1]


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "checksum":
        data[-6] ^= 1
    elif how == "zlib":
        data[10] |= 6
    else:
        del data[-9:]
    path.write_bytes(data)


@pytest.mark.parametrize("how", ["checksum", "zlib", "cut"])
@pytest.mark.parametrize("file", ["a1.nii.gz", "m1.nii.gz"])
def test_a_damaged_file_is_told_or_skipped(root: FmcRoot, how: str, file: str) -> None:
    for number in range(3):
        save(root, f"a{number}.nii.gz", GREY)
        save(root, f"m{number}.nii.gz", IDS)
    damage(root.folder / file, how)
    rows = [f"a{number}.nii.gz m{number}.nii.gz -" for number in range(3)]
    task = heart(root, *rows)
    message = (
        rf"1 of 3 samples .* row 3: {re.escape(str(root.folder / file))}: damaged or not NIfTI: .*skip_broken=true"
    )
    with pytest.raises(BrokenSamplesError, match=message) as caught:
        samples(task)
    assert "\n" not in str(caught.value)
    assert samples(task, skip_broken=True).ids.to_pylist() == ["heart/a0.nii", "heart/a2.nii"]


def test_the_check_of_data_says_the_same(root: FmcRoot) -> None:
    save(root, "a.tif", (GREY / 255).astype(np.float32))
    save(root, "m.png", IDS)
    heart(root, "a.tif m.png -")
    (report, *_) = check_stream(root.card, root.folder, images=True)
    assert any("nothing says what is white" in problem for problem in report.problems)
    assert not any("nothing says" in problem for problem in check_stream(root.card, root.folder, False)[0].problems)


def test_a_gz_that_is_none(root: FmcRoot) -> None:
    save(root, "a.nii", GREY)
    (root.folder / "a.nii.gz").write_bytes((root.folder / "a.nii").read_bytes())
    save(root, "m.png", IDS)
    with pytest.raises(DataError, match=r"a\.nii\.gz: damaged or not NIfTI: Not a gzipped file"):
        samples(heart(root, "a.nii.gz m.png -"))
    (root.folder / "a.nii.gz").write_bytes(gzip.compress(b"too short"))
    with pytest.raises(DataError, match=r"a\.nii\.gz: damaged or not NIfTI: "):
        samples(heart(root, "a.nii.gz m.png -"))
