"""Whoever reads an image makes the same of it: learners, scores, pages, Avalanche and the check of data."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.streams.conftest import torchvision_root

from clbench.cli.samples import _png
from clbench.contracts import Split, Stream, Task
from clbench.core.errors import BrokenSamplesError, DataError
from clbench.integrations.avalanche import scenario_of
from clbench.kinds import decode_rows
from clbench.learners._clip.decoding import decode_images
from clbench.learners._vit.encoding import encoded
from clbench.streams.clip_domains.image_sets.check_image_sets import _decode
from clbench.streams.clip_domains.image_sets.image_part import new_part
from clbench.streams.clip_domains.image_sets.known_image_sets import open_set, part_of

SIDE = 8
DEEP = np.random.default_rng(0).integers(0, 65536, (SIDE, SIDE)).astype(np.uint16)
GREY = (DEEP >> 8).astype(np.uint8)

Values = NDArray[Any]


def task_of(file: Path, as_bytes: bool) -> Task:
    """A task whose one image is in a file, or in the rows as a Parquet file or the hub has it."""
    from datasets import ClassLabel, Dataset, Features, Value
    from datasets import Image as ImageFeature

    label = ClassLabel(names=["a", "b"])
    features = Features({"sample_id": Value("string"), "image": ImageFeature(), "label": label})
    cell = {"bytes": file.read_bytes(), "path": None} if as_bytes else {"bytes": None, "path": str(file)}

    def load(split: Split) -> Dataset:
        return Dataset.from_list([{"sample_id": "s", "image": cell, "label": 0}], features=features)

    return Task("t", "classification", "accuracy", load, str, ("a", "b"))


def by_clip(task: Task) -> Values:
    return decode_images(task.load("test"), SIDE)[0].permute(1, 2, 0).numpy()


def by_vit(task: Task) -> Values:
    return encoded(task.load("test"), task, SIDE).tensors["image"][0].permute(1, 2, 0).numpy()


def by_scores(task: Task) -> Values:
    found = list[Values]()
    decode_rows(task.load("test"), task, lambda position, image: found.append(np.asarray(image)))
    return found[0]


def by_pages(task: Task) -> Values:
    from clbench.core.image_reading import undecoded

    return np.asarray(Image.open(io.BytesIO(_png(undecoded(task.load("test"))[0]["image"], "sample 's'"))))


def by_avalanche(task: Task) -> Values:
    stream = Stream("s", (task,), ("task-id",), "mini-clip")
    (experience,) = scenario_of(stream, SIDE).test_stream
    image: Any = experience.dataset[0][0]
    return np.asarray((image * 255).round().permute(1, 2, 0))


def by_check(task: Task) -> Values | None:
    cell = task.load("test").data["image"][0].as_py()
    if cell["path"] is not None:
        _decode(new_part(Path("list"), Path(cell["path"]).parent, [Path(cell["path"]).name], [0]))
    return None


READERS: dict[str, Callable[[Task], Values | None]] = {
    name.removeprefix("by_"): read for name, read in sorted(globals().items()) if name.startswith("by_")
}


def write(folder: Path, name: str, values: Values, **options: Any) -> Path:
    Image.fromarray(values).save(folder / name, **options)
    return folder / name


@pytest.mark.parametrize("as_bytes", [False, True])
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm", "8.png", "f.tif"])
def test_what_is_seen(tmp_path: Path, reader: str, name: str, as_bytes: bool) -> None:
    values: Values = GREY if name == "8.png" else GREY.astype(np.float32) if name == "f.tif" else DEEP
    found = READERS[reader](task_of(write(tmp_path, name, values), as_bytes))
    assert found is None or (found == GREY[..., None]).all()
    assert found is None or found.std() > 50  # it is neither black nor white


FEW = (DEEP >> 8).astype(np.uint16)
REFUSED: dict[str, tuple[Values, str]] = {
    "shares.tif": ((GREY / 255).astype(np.float32), r"got 0 to 1 \(TIFF, mode F\): nothing says what is white"),
    "signed.tif": (DEEP.astype(np.int32), r"got \d+ to \d+ \(TIFF, mode I\)"),
    "nan.tif": (np.where(GREY > 99, np.nan, GREY).astype(np.float32), r"got nan to nan \(TIFF, mode F\)"),
    "few.png": (FEW, r"got \d+ to 25\d \(PNG, mode I;16\): all would be black"),
}


@pytest.mark.parametrize("as_bytes", [False, True])
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(tmp_path: Path, reader: str, name: str, as_bytes: bool) -> None:
    values, message = REFUSED[name]
    task = task_of(write(tmp_path, name, values), as_bytes)
    if reader == "check" and as_bytes:
        return
    with pytest.raises(DataError, match=message) as caught:
        READERS[reader](task)
    assert "\n" not in str(caught.value)
    assert as_bytes or name in str(caught.value)
    assert reader in ("avalanche", "check", "pages") or isinstance(caught.value, BrokenSamplesError)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["a.gif", "a.tif", "a.png", "a.webp"])
def test_several_frames_of_which_none_is_named(tmp_path: Path, reader: str, name: str) -> None:
    more = [Image.fromarray(GREY[::-1])]
    task = task_of(write(tmp_path, name, GREY, save_all=True, append_images=more), as_bytes=False)
    with pytest.raises(DataError, match=rf"{name}'?: has 2 frames, and nothing says which one is meant"):
        READERS[reader](task)


@pytest.mark.parametrize("reader", [name for name in READERS if name != "check"])
def test_a_row_without_an_image(reader: str, tmp_path: Path) -> None:
    from datasets import Dataset

    task = task_of(write(tmp_path, "a.png", GREY), as_bytes=True)
    rows = task.load("test")
    empty = Dataset.from_list([{"sample_id": "s", "image": None, "label": 0}], features=rows.features)
    with pytest.raises(DataError, match="the image is missing"):
        READERS[reader](Task("t", "classification", "accuracy", lambda split: empty, str, ("a", "b")))


def test_a_deep_png_in_a_folder_of_clip_sets(tmp_path: Path) -> None:
    root = torchvision_root(tmp_path)
    for file in sorted((root / "eurosat/2750/River").iterdir()):
        Image.fromarray(DEEP).save(file, "png")
    part = part_of(open_set(root, "eurosat", "torchvision"), "eurosat", "torchvision", "train")
    rows = part.select(np.flatnonzero(part.labels == 1)).rows("sat", ("a", "river", "c"))
    found = decode_images(rows, SIDE).numpy()
    assert (found == GREY).all()
