"""ultrasound-mini as it is shipped: layout, sizes, truths, patients apart, and equal images when built again."""

import csv
import json
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image

from clbench_tools.ultrasound_mini.build import SEED
from clbench_tools.ultrasound_mini.frames import Frame, frame_of, kind_of, patients_of
from clbench_tools.ultrasound_mini.layout import Entry, write_task
from clbench_tools.ultrasound_mini.organs.fetus import perimeter
from clbench_tools.ultrasound_mini.organs.pelvis import tangent
from clbench_tools.ultrasound_mini.tasks import TASKS, MiniTask
from clbench_tools.ultrasound_simulator.shapes import Blob

STREAM = Path(str(files("clbench.streams"))) / "ultrasound"
CARD = yaml.safe_load((STREAM / "ultrasound_mini.yaml").read_text(encoding="utf-8"))
DATA = STREAM / CARD["data"]
MEGABYTE = 10**6
EACH = pytest.mark.parametrize("task", TASKS, ids=[task.name for task in TASKS])


@cache
def rows_of(task: MiniTask) -> list[dict[str, str]]:
    """The rows of a task's CSV file."""
    (file,) = (DATA / "csv_files").glob(f"*_{task.name}.csv")
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def read(path: str) -> NDArray[np.uint8]:
    """An image or a mask, by its path in a CSV file."""
    with Image.open(DATA / "csv_files" / path) as image:
        assert image.mode == "L"
        return np.asarray(image)


def test_the_card_has_the_tasks_that_are_built() -> None:
    assert [task["name"] for task in CARD["tasks"]] == [task.name for task in TASKS]
    kinds = [task["kind"].capitalize() for task in CARD["tasks"]]
    assert kinds == [task.folder for task in TASKS]


def test_the_data_are_small() -> None:
    stored = [path for path in DATA.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in stored) < 8 * MEGABYTE


def test_no_image_is_there_twice_or_unlisted() -> None:
    listed = {(DATA / "csv_files" / row["image_path"]).resolve() for task in TASKS for row in rows_of(task)}
    assert listed == {path.resolve() for path in DATA.rglob("images/*.png")}
    assert len({path.read_bytes() for path in listed}) == len(listed)


@EACH
def test_parts_have_their_sizes_and_no_patient_in_common(task: MiniTask) -> None:
    parts: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    for row in rows_of(task):
        parts[row["split"]].append(row["patient"])
    assert {part: len(patients) for part, patients in parts.items()} == {"train": 120, "validation": 24, "test": 50}
    assert (
        sum(len(set(patients)) for patients in parts.values()) == len({row["patient"] for row in rows_of(task)}) == 97
    )


@EACH
def test_truths_lie_in_the_image(task: MiniTask) -> None:
    for row in rows_of(task):
        height, width = read(row["image_path"]).shape
        if "mask_path" in row:
            mask = read(row["mask_path"])
            assert mask.shape == (height, width)
            assert np.unique(mask).tolist() == list(range(task.many))
        if "x_min" in row:
            x_min, y_min, x_max, y_max = (int(row[key]) for key in ("x_min", "y_min", "x_max", "y_max"))
            assert 0 <= x_min <= x_max - 5 < width
            assert 0 <= y_min <= y_max - 5 < height
            assert max(x_max - width, y_max - height) <= 0
        for key in (key for key in row if key.startswith("point_")):
            x, y = json.loads(row[key])
            assert 0 <= x <= width - 1
            assert 0 <= y <= height - 1
        if "value" in row:
            least, most = next(t["source"]["value_range"] for t in CARD["tasks"] if t["name"] == task.name)
            assert least < float(row["value"]) < most


@pytest.mark.parametrize("name", ["lung_3cls", "breast_2cls"])
def test_classes_are_even_in_every_part(name: str) -> None:
    task = next(task for task in TASKS if task.name == name)
    for part in ("train", "validation", "test"):
        labels = [int(row["mask"]) for row in rows_of(task) if row["split"] == part]
        counts = np.bincount(labels, minlength=task.many)
        assert np.ptp(counts) <= 2


@EACH
def test_images_are_built_again_as_they_were(task: MiniTask, tmp_path: Path) -> None:
    patient = patients_of("validation")[3]
    frame = frame_of(task, patient, 1, SEED)
    write_task(task, [Entry("validation", patient, 1, frame)], tmp_path)
    (file,) = (tmp_path / "csv_files").iterdir()
    with file.open(encoding="utf-8", newline="") as lines:
        (again,) = csv.DictReader(lines)
    assert again in rows_of(task)
    difference = np.abs(read(again["image_path"]).astype(int) - frame.image)
    assert difference.max() <= 8  # one of 32 greys: processors round the last bit of exp and log apart
    assert np.mean(difference > 0) < 0.002
    if "mask_path" in again:
        assert np.mean(read(again["mask_path"]) != frame.mask) < 0.002


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
