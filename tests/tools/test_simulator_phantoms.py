"""ultrasound-mini as it is shipped: sizes, truths, patients apart, and equal images when built again."""

import io
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image

from clbench.spec.task import SPLITS, Split
from clbench_tools.ultrasound_mini.build_ultrasound_mini import SEED
from clbench_tools.ultrasound_mini.frames import Frame, frame_of, kind_of, patients_of
from clbench_tools.ultrasound_mini.mini_tasks import TASKS, MiniTask
from clbench_tools.ultrasound_mini.organs.fetus import perimeter
from clbench_tools.ultrasound_mini.organs.pelvis import tangent
from clbench_tools.ultrasound_mini.pack import Entry, pack
from clbench_tools.ultrasound_simulator.shapes import Blob

STREAM = Path(str(files("clbench.streams"))) / "ultrasound"
CARD = yaml.safe_load((STREAM / "ultrasound_mini.yaml").read_text(encoding="utf-8"))
DATA = STREAM / CARD["data"]
MEGABYTE = 10**6
EACH = pytest.mark.parametrize("task", TASKS, ids=[task.name for task in TASKS])


@cache
def rows_of(task: MiniTask, split: Split) -> list[dict[str, Any]]:
    """The rows of a part."""
    rows: list[dict[str, Any]] = pq.read_table(DATA / task.name / f"{split}.parquet").to_pylist()
    return rows


def all_rows(task: MiniTask) -> list[dict[str, Any]]:
    return [row for split in SPLITS for row in rows_of(task, split)]


def read(cell: dict[str, Any]) -> NDArray[np.uint8]:
    """An image or a mask."""
    with Image.open(io.BytesIO(cell["bytes"])) as image:
        assert image.mode == "L"
        return np.asarray(image)


def test_the_card_has_the_tasks_that_are_built() -> None:
    assert [(task["name"], task["kind"]) for task in CARD["tasks"]] == [(task.name, task.kind) for task in TASKS]


def test_the_data_are_small() -> None:
    stored = [path for path in DATA.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in stored) < 10 * MEGABYTE
    assert len(stored) == 3 * len(TASKS) + 1


def test_no_image_is_there_twice() -> None:
    images = [row["image"]["bytes"] for task in TASKS for row in all_rows(task)]
    assert len(set(images)) == len(images) == 2440


@EACH
def test_parts_have_their_sizes_and_no_patient_in_common(task: MiniTask) -> None:
    parts = {split: [row["patient"] for row in rows_of(task, split)] for split in SPLITS}
    assert {part: len(patients) for part, patients in parts.items()} == {"train": 120, "validation": 24, "test": 100}
    assert sum(len(set(patients)) for patients in parts.values()) == len(set().union(*parts.values())) == 172


@EACH
def test_truths_lie_in_the_image(task: MiniTask) -> None:
    for row in all_rows(task):
        height, width = read(row["image"]).shape
        if "mask" in row:
            mask = read(row["mask"])
            assert mask.shape == (height, width)
            assert np.unique(mask).tolist() == list(range(task.many))
        if "boxes" in row:
            ((x_min, y_min, x_max, y_max),) = row["boxes"]
            assert 0 <= x_min <= x_max - 5 <= width - 5
            assert 0 <= y_min <= y_max - 5 <= height - 5
        for x, y in row.get("points", ()):
            assert 0 <= x <= width - 1
            assert 0 <= y <= height - 1
        if "value" in row:
            least, most = next(t["source"]["value_range"] for t in CARD["tasks"] if t["name"] == task.name)
            assert least < row["value"] < most


@pytest.mark.parametrize("name", ["lung_3cls", "breast_2cls"])
def test_classes_are_even_in_every_part(name: str) -> None:
    task = next(task for task in TASKS if task.name == name)
    for split in SPLITS:
        counts = np.bincount([row["label"] for row in rows_of(task, split)], minlength=task.many)
        assert np.ptp(counts) <= 2


@EACH
def test_images_are_built_again_as_they_were(task: MiniTask, tmp_path: Path) -> None:
    patient = patients_of("validation")[3]
    frame = frame_of(task, patient, 1, SEED)
    pack(task, [Entry("validation", patient, 1, frame)], tmp_path)
    written = pq.read_table(tmp_path / task.name / "validation.parquet")
    shipped = pq.read_table(DATA / task.name / "validation.parquet")
    assert written.schema.equals(shipped.schema, check_metadata=True)
    (again,) = written.to_pylist()
    (before,) = (row for row in rows_of(task, "validation") if row["sample_id"] == again["sample_id"])
    images = {"image", "mask"} & again.keys()
    assert {name: again[name] for name in again.keys() - images} == {n: before[n] for n in before.keys() - images}
    difference = np.abs(read(before["image"]).astype(int) - frame.image)
    assert difference.max() <= 8  # one of 32 greys: processors round the last bit of exp and log apart
    assert np.mean(difference > 0) < 0.002
    if "mask" in before:
        assert np.mean(read(before["mask"]) != frame.mask) < 0.002


@EACH
def test_views_of_a_patient_differ_and_have_the_same_anatomy(task: MiniTask) -> None:
    first, second = (frame_of(task, 2, view, SEED) for view in (0, 1))
    assert first.image.shape == second.image.shape
    assert np.mean(first.image != second.image) > 0.3
    assert first.label == second.label == kind_of(task, 2, SEED)
    assert first.value == second.value
    if len(first.points) == 2:
        lengths = [np.hypot(*(frame.points[0] - frame.points[1])) for frame in (first, second)]
        assert lengths[0] == pytest.approx(lengths[1], rel=1e-3)


def test_another_seed_gives_another_patient() -> None:
    one, other = (frame_of(TASKS[0], 0, 0, seed) for seed in (0, 1))
    assert not np.array_equal(one.mask, other.mask)


def test_perimeter_and_tangent_by_hand() -> None:
    assert perimeter(10, 10) == pytest.approx(20 * np.pi)
    # From (0, 0) to a circle of radius 3 around (0, 5): touches at distance 4, x = 3 * 4 / 5, z = 16 / 5.
    assert tangent(np.zeros(2), Blob((0, 5), (3, 3))) == pytest.approx((2.4, 3.2), abs=0.02)


def test_keypoints_are_what_they_are_called() -> None:
    femur = next(task for task in TASKS if task.name == "fetal_femur")
    symphysis = next(task for task in TASKS if task.name == "IUGC")
    for patient in range(4):
        frame: Frame = frame_of(femur, patient, 0, SEED)
        assert frame.points[0, 0] < frame.points[1, 0]
        points = frame_of(symphysis, patient, 0, SEED).points
        assert points[0, 1] < points[1, 1]  # the upper end first
        assert points[2, 0] > points[1, 0]  # the head is touched on the right
