"""Bad data in the layout of FMC_UIA: one clear line each, naming file and row."""

import copy
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.streams.fmc_root import TASKS, FmcRoot, fmc_root

from clbench.contracts import Task
from clbench.core.errors import BrokenSamplesError, ClbenchError, ConfigError, DataError
from clbench.kinds import decode_rows
from clbench.spec.task import SPLITS
from clbench.streams.card import load_stream

IMAGE = "Segmentation/Three/data (1), new/000.png"
MASK = "Segmentation/Three/masks/000.png"


@pytest.fixture
def root(tmp_path: Path) -> FmcRoot:
    return fmc_root(tmp_path, each=3)


def load(root: FmcRoot) -> dict[str, Task]:
    """The tasks, with all that is checked without decoding."""
    tasks = load_stream(root.card, str(root.folder)).tasks
    for task in tasks:
        for split in SPLITS:
            task.fingerprint(split)
    return {task.name: task for task in tasks}


def decode(task: Task) -> None:
    for split in SPLITS:
        rows = task.load(split)
        if len(rows):
            decode_rows(rows, task, lambda position, image: None)


def edit(root: FmcRoot, name: str, old: str, new: str) -> None:
    """Change row 2, the first one below the header."""
    assert old in root.rows[name][0]
    root.rows[name][0] = root.rows[name][0].replace(old, new)
    root.write()


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (
            "Seg-Two",
            "../Segmentation/Three/masks/000.png",
            "../../etc/passwd",
            "mask_path '../../etc/passwd' is no path",
        ),
        ("Seg-Two", "../Segmentation/Three/masks/000.png", "/etc/passwd", "mask_path '/etc/passwd' is no path"),
        ("Seg-Two", "../Segmentation/Three/masks/000.png", "../a/../../x.png", "mask_path '../a/../../x.png' is no"),
        ("Seg-Two", "../Segmentation/Three/masks/000.png", "..", "mask_path '..' is no path of a file below"),
        ("Seg-Two", "../Segmentation/Three/masks/000.png", "../a\x07.png", "mask_path '../a\\x07.png' is no path"),
        (
            "Cls-Three",
            '"../Classification/Three/data (1), new/000.png"',
            "../../etc",
            "image_path '../../etc' is no path",
        ),
        ("Seg-Two", "../Segmentation/Three/masks/000.png", " ", "mask_path is empty"),
        ("Seg-Two", "segmentation,3", "segmentation,4", "num_classes: the card wants 3, got 4"),
        ("Seg-Two", ",segmentation,", ",Regression,", "task_name: the card wants segmentation, got regression"),
        ("Seg-Two", ",segmentation,", ",segment,", "task_name: the card wants segmentation, got 'segment'"),
        ("Cls-Three", ",0,breast", ",3,breast", "mask: wanted a class 0 to 2, got 3"),
        ("Cls-Three", ",0,breast", ",-1,breast", "mask: wanted a class 0 to 2, got -1"),
        ("Cls-Three", ",0,breast", ",0.5,breast", "mask must be a whole number, got '0.5'"),
        ("Cls-Three", ",0,breast", ",benign,breast", "mask must be a number, got 'benign'"),
        ("Cls-Three", ",0,breast", ",,breast", "mask is empty"),
        ("Det-One", "1,0,1.5,6,9", "1,6,1.5,6,9", "the box is empty: x from 6 to 6, y from 1.5 to 9"),
        ("Det-One", "1,0,1.5,6,9", "1,0,9,6,1.5", "the box is empty: x from 0 to 6, y from 9 to 1.5"),
        ("Det-One", "1,0,1.5,6,9", "1,nan,9,6,1.5", "x_min must be a number, got 'nan'"),
        ("Reg-Two", '"[0, 2.5]"', '"[0, 2.5"', "point_1_xy must be [x, y], got '[0, 2.5'"),
        ("Reg-Two", '"[0, 2.5]"', '"[0, NaN]"', "point_1_xy must be [x, y], got '[0, NaN]'"),
        ("Reg-Two", '"[0, 2.5]"', '"[0, 1, 2]"', "point_1_xy must be [x, y], got '[0, 1, 2]'"),
        ("Reg-Two", '"[0, 2.5]"', f'"[0, 1{"0" * 400}]"', "point_1_xy must be [x, y], got '[0, 1000"),
        ("Reg-Two", '"[0, 2.5]"', "[" * 9000, "point_1_xy must be [x, y], got '[[["),
        ("Reg-Two", ",FUGC", ",", "task_id is empty"),
    ],
)
def test_rows_that_do_not_fit(root: FmcRoot, name: str, old: str, new: str, message: str) -> None:
    edit(root, name, old, new)
    with pytest.raises(DataError, match=re.escape(f"{root.csv(name)}: row 2: {message}")) as caught:
        load(root)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "column"),
    [
        *[("Seg-Two", column) for column in ("image_path", "mask_path", "task_id", "task_name")],
        *[("Cls-Three", "mask"), ("Det-One", "y_max"), ("Reg-Two", "point_2_xy")],
    ],
)
def test_a_missing_column(root: FmcRoot, name: str, column: str) -> None:
    text = root.csv(name).read_text(encoding="utf-8")
    root.csv(name).write_text(text.replace(column, "another", 1), encoding="utf-8")
    message = f"{root.csv(name)}: column {column!r} is missing"
    with pytest.raises(DataError, match=re.escape(message)):
        load(root)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "wanted at least one row, got none"),
        (b"image_path,task_id\n", "wanted at least one row, got none"),
        (b"image_path,task_id\nx\n", "row 2: wanted 2 cells, got 1"),
        (b"image_path,task_id\n\nx,y,z\n", "row 3: wanted 2 cells, got 3"),
        (b"task_id, task_id\nx,y\n", "row 1: column 'task_id' is there more than once"),
        (b"image_path;task_id\nx;y\n", "row 1: wanted commas (',') between the cells, got semicolons (';')"),
        (b'image_path,task_id\n"x,y\nz,y\n', "row 2: wanted CSV, got unexpected end of data"),
        (b"task_id\n\xff\xff\xff\n", "neither UTF-8 nor GBK"),
        (b'task_id\n"' + b"x" * 200_000 + b'"\n', "row 2: wanted CSV, got field larger than field limit"),
    ],
)
def test_files_that_are_no_tables(root: FmcRoot, data: bytes, message: str) -> None:
    root.csv("Reg-Two").write_bytes(data)
    with pytest.raises(DataError, match=re.escape(f"{root.csv('Reg-Two')}: {message}")):
        load(root)


def test_a_image_twice_names_both_rows(root: FmcRoot) -> None:
    for name in ("Cls-Three", "Det-One"):
        root.rows[name].append(root.rows[name][1])
        root.write()
        message = rf"{root.csv(name)}: row 5: .*001.png is listed more than once for one task, first in .*: row 3"
        with pytest.raises(DataError, match=message.replace("(", r"\(")):
            load(root)
        root.rows[name].pop()


def test_missing_images_are_counted(root: FmcRoot) -> None:
    for number in range(3):
        (root.folder / f"Regression/data (1), new/00{number}.png").unlink()
    with pytest.raises(DataError, match=r"of \d listed images are missing, the first is 'Regression/data"):
        load(root)


def test_missing_tasks_are_told_together(root: FmcRoot) -> None:
    root.csv("Seg-Two").unlink()
    with pytest.raises(DataError, match="no CSV file has rows whose task_id is 'cardiac_multi'"):
        load(root)
    root.csv("Det-One").unlink()
    with pytest.raises(DataError, match=r"2 of 4 tasks of 'made-up' are missing: heart, fibroid .*clbench data check"):
        load(root)


def test_a_root_without_csv_files(root: FmcRoot, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="wanted CSV files in a folder csv_files, got none"):
        load_stream(root.card, str(tmp_path / "empty"))
    with pytest.raises(DataError, match="no such folder"):
        load_stream(root.card, str(tmp_path / "none"))
    with pytest.raises(DataError, match="no copy of the data of 'made-up' on the hub is known"):
        load_stream(root.card, "hub")
    with pytest.raises(DataError, match="needs --root DIR"):
        load_stream(root.card)


def with_patients(root: FmcRoot, name: str, rows: list[str]) -> None:
    """A file with two more columns, whose cells are given a row."""
    header, *lines = root.csv(name).read_text(encoding="utf-8").splitlines()
    text = [f"{header},patient,split", *(f"{line},{row}" for line, row in zip(lines, rows, strict=True))]
    root.csv(name).write_text("\n".join(text), encoding="utf-8")


def test_a_patient_in_two_parts(root: FmcRoot) -> None:
    with_patients(root, "Seg-Two", ["ann,train", "bob,test", "ann,validation"])
    message = rf"{root.csv('Seg-Two')}: row 4: patient 'ann' is in 'validation', but in 'train' in .*Seg-Two.csv: row 2"
    with pytest.raises(DataError, match=message):
        load(root)


def test_a_patient_in_two_parts_of_two_tasks(root: FmcRoot) -> None:
    with_patients(root, "Seg-Two", ["ann,train", "bob,test", "cat,validation"])
    with_patients(root, "Reg-Two", ["cat,validation", "bob,test", "ann,test"])
    message = rf"{root.csv('Reg-Two')}: row 4: patient 'ann' is in 'test', but in 'train' in .*Seg-Two.csv: row 2"
    with pytest.raises(DataError, match=message):
        load(root)
    with_patients(fmc := fmc_root(root.folder / "second", each=3), "Seg-Two", ["ann,train", "bob,test", "cat,"])
    load(fmc)  # without a part, the hash of the patient says it


def test_a_part_that_there_is_not(root: FmcRoot) -> None:
    with_patients(root, "Seg-Two", ["ann,training", "bob,test", "cat,"])
    with pytest.raises(DataError, match="row 2: split: wanted one of train, validation, test, got 'training'"):
        load(root)


def mask(values: Any, mode: str | None = None) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        Image.fromarray(np.asarray(values, np.uint8)).convert(mode).save(path)

    return write


@pytest.mark.parametrize(
    ("path", "write", "message"),
    [
        (MASK, mask(np.eye(10, 12) * 3), r"has the class 3, which the card does not know \(0 to 2\)"),
        (MASK, mask(np.eye(10, 12) * 255), r"has the class 255, which the card does not know \(0 to 2\)"),
        (MASK, mask(np.eye(10, 11)), "is 11 x 10 pixels, its image is 12 x 10 pixels"),
        (MASK, mask(np.zeros((10, 12))), "is empty"),
        (MASK, mask(np.arange(360).reshape(10, 12, 3) % 3), "has channels that differ"),
        (MASK, lambda path: path.write_bytes(b"no image"), "does not decode: cannot identify image file"),
        (MASK, lambda path: path.write_bytes(b""), "does not decode"),
        (IMAGE, lambda path: path.write_bytes(path.read_bytes()[:-30]), "does not decode"),
    ],
)
def test_images_and_masks_that_do_not_fit(
    root: FmcRoot, path: str, write: Callable[[Path], None], message: str
) -> None:
    write(root.folder / path)
    task = load(root)["heart"]  # nothing was decoded so far
    what = "the mask" if path == MASK else "the image"
    place = f"sample 'heart/000': {root.csv('Seg-Two')}: row 2: {what} {root.folder / path} "
    with pytest.raises(BrokenSamplesError, match=re.escape(place) + message) as caught:
        decode(task)
    assert len(caught.value.positions) == 1
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("box", ["0,1.5,12.5,9", "-1,1.5,6,9", "0,1.5,6,11", "3,12,4,13"])
def test_a_box_outside_its_image(root: FmcRoot, box: str) -> None:
    edit(root, "Det-One", "0,1.5,6,9", box)
    message = rf"sample 'fibroid/000': {root.csv('Det-One')}: row 2: the box .* is empty or not inside the image of"
    with pytest.raises(BrokenSamplesError, match=f"{message} 12 x 10 pixels"):
        decode(load(root)["fibroid"])


def test_what_is_not_wrong(root: FmcRoot) -> None:
    edit(root, "Det-One", "0,1.5,6,9", "0,0,12,10")  # the whole image
    mask(np.zeros((10, 12)))(root.folder / MASK)
    tasks = copy.deepcopy(TASKS)
    tasks[0]["source"]["empty_masks"] = True
    root.write_card(tasks)
    for task in load(root).values():
        decode(task)
    palette = Image.fromarray(root.images["Segmentation/Three/masks/001.png"])
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    palette.convert("P").save(root.folder / "Segmentation/Three/masks/001.png")
    mask(np.repeat(root.images["Segmentation/Three/masks/002.png"][..., None], 3, 2))(
        root.folder / "Segmentation/Three/masks/002.png"
    )
    decode(load(root)["heart"])


@pytest.mark.parametrize(
    ("task", "source", "message"),
    [
        (0, {"task_id": "x"}, "segmentation needs at least two classes with different names"),
        (0, {"task_id": "x", "classes": ["a", "a"]}, "segmentation needs at least two classes with different names"),
        (0, {"classes": ["a", "b"]}, "source: task_id is missing"),
        (0, {"task_id": "x", "classes": ["a", "b"], "points": 2}, "points does not fit segmentation"),
        (1, {"task_id": "x", "classes": ["a", "b"], "empty_masks": True}, "empty_masks does not fit classification"),
        (2, {"task_id": "x", "boxes": 0}, "source: boxes must be greater than or equal to 1, got 0"),
        (2, {"task_id": "x", "point": 2}, "unknown setting 'point': did you mean 'points'?"),
        (3, {"task_id": "x"}, "regression needs either points or a value_range"),
        (3, {"task_id": "x", "points": 2, "value_range": [0, 1]}, "regression needs either points or a value_range"),
        (3, {"task_id": "x", "value_range": [1, 1]}, "value_range must rise, got [1.0, 1.0]"),
        (3, {"task_id": "x", "points": 1, "unit": "mm"}, "unit does not fit regression"),
    ],
)
def test_cards_that_do_not_fit(root: FmcRoot, task: int, source: dict[str, Any], message: str) -> None:
    tasks = copy.deepcopy(TASKS)
    tasks[task]["source"] = source
    root.write_card(tasks)
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_stream(root.card, str(root.folder))


@pytest.mark.parametrize("task", range(4))
def test_a_metric_of_another_kind(root: FmcRoot, task: int) -> None:
    tasks = copy.deepcopy(TASKS)
    fitting, tasks[task]["metric"] = tasks[task]["metric"], "value_accuracy"
    root.write_card(tasks)
    with pytest.raises(ConfigError, match=f"metric must be {fitting} for {tasks[task]['kind']}, got 'value_accuracy'"):
        load_stream(root.card, str(root.folder))


def test_a_value_that_is_out_of_its_range(root: FmcRoot) -> None:
    text = 'image_path,task_id,task_name,value\n"../Regression/data (1), new/000.png",hc,Regression,101\n'
    root.csv("value").write_text(text, encoding="utf-8")
    source = {"task_id": "hc", "value_range": [0, 100]}
    root.write_card([{"name": "hc", "kind": "regression", "metric": "value_accuracy", "source": source}])
    with pytest.raises(DataError, match="row 2: value: the card wants 0 to 100, got 101"):
        load(root)


def test_a_missing_package_is_told(root: FmcRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    path = root.folder / "Segmentation/Three/masks/000.nii.gz"
    path.write_bytes(b"")
    edit(root, "Seg-Two", "masks/000.png", "masks/000.nii.gz")
    task = load(root)["heart"]
    monkeypatch.setitem(sys.modules, "nibabel", None)
    message = f"{path}: NIfTI needs the package nibabel: pip install 'clbench[ultrasound]'"
    with pytest.raises(ClbenchError, match=re.escape(message)):
        for split in SPLITS:
            task.load(split)
