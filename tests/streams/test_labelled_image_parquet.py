"""Labelled images in Parquet: what is read is what was written, and what is damaged or odd is one line."""

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from clbench.core.errors import BrokenSamplesError, ConfigError, DataError
from clbench.kinds import decode_rows
from clbench.spec.task import SPLITS, Task
from clbench.streams.card import load_stream
from clbench.streams.ultrasound.task_sources import Answers

TASKS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "heart": ("segmentation", "dice", {"classes": ["background", "wall"]}),
    "breast": ("classification", "accuracy", {"classes": ["benign", "malignant"]}),
    "fibroid": ("detection", "iou", {"boxes": 2}),
    "cervix": ("regression", "point_accuracy", {"points": 2}),
    "belly": ("regression", "value_accuracy", {"value_range": [10, 20], "unit": "mm"}),
}
EACH = 4
"""Rows of a part."""

Change = Callable[[list[dict[str, Any]]], object]


def cell(values: Any) -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(values, np.uint8)).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def truth(column: str, row: int) -> Any:
    mask = np.zeros((10, 12))
    mask[2:5, 3 : 6 + row] = 1
    return {
        "mask": cell(mask),
        "label": row % 2,
        "boxes": [[1.0, 2.0, 5.0 + row, 7.5]] * (1 + row % 2),
        "points": [[1.5, 2.0], [row, 9.0]],
        "value": 12.5 + row,
    }[column]


def write(path: Path, answers: Answers, rows: list[dict[str, Any]]) -> None:
    features = answers.features
    del features["where"]
    pq.write_table(pa.Table.from_pylist(rows, schema=features.arrow_schema), path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A card, and the data of its tasks."""
    rng, tasks = np.random.default_rng(0), []
    for name, (kind, metric, source) in TASKS.items():
        tasks.append({"name": name, "kind": kind, "metric": metric, "source": source})
        answers = Answers.model_validate({"kind": kind, **source})
        (tmp_path / name).mkdir()
        for split in SPLITS:
            rows = [
                {
                    "sample_id": f"{name}/{split}/{row}",
                    "image": cell(rng.integers(0, 256, (10, 12))),
                    "patient": f"{split}-{row // 2}",
                    answers.column: truth(answers.column, row),
                }
                for row in range(EACH)
            ]
            write(tmp_path / name / f"{split}.parquet", answers, rows)
    card = {
        "name": "made-up",
        "description": "Five tasks.",
        "loader": "labelled-image-parquet",
        "data": ".",
        "learner": "vit:none",
        "protocols": ["task-id"],
        "order_reason": "None.",
        "tasks": tasks,
    }
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")
    return tmp_path


def tasks_of(folder: Path) -> dict[str, Task]:
    return {task.name: task for task in load_stream(str(folder / "card.yaml")).tasks}


def rewrite(path: Path, change: Change) -> None:
    table = pq.read_table(path)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)


def put(row: int, **cells: Any) -> Change:
    """Replaces cells of a row."""
    return lambda rows: rows[row].update(cells)


def keep(images: dict[int, Any], position: int, image: Image.Image) -> None:
    images[position] = np.asarray(image)


@pytest.mark.parametrize("split", SPLITS)
def test_rows_are_what_was_written(folder: Path, split: Any) -> None:
    for name, task in tasks_of(folder).items():
        path = folder / name / f"{split}.parquet"
        written = pq.read_table(path).to_pylist()
        rows, images = task.load(split), dict[int, Any]()
        found = decode_rows(rows, task, partial(keep, images))
        assert rows["sample_id"][:] == [row["sample_id"] for row in written]
        assert rows["where"][:] == [f"{path}: row {row}" for row in range(EACH)]
        assert rows["patient"][:] == [row["patient"] for row in written]
        for position, row in enumerate(written):
            with Image.open(io.BytesIO(row["image"]["bytes"])) as image:
                assert np.array_equal(images[position], np.asarray(image.convert("RGB")))
        if task.kind == "classification":
            assert rows["label"][:] == [row["label"] for row in written]
        for column in {"boxes", "points", "value"} & set(rows.column_names):
            assert found[column].to_pylist() == [row[column] for row in written]


@pytest.mark.parametrize(
    ("task", "change", "message"),
    [
        ("belly", put(1, value=21.0), "row 1: value: the card wants 10 to 20, got 21"),
        ("belly", put(1, value=float("nan")), "row 1: value: the card wants 10 to 20, got nan"),
        ("belly", put(2, value=None), "1 of 4 rows have no value, the first is row 2"),
        ("cervix", put(3, points=[[1.0, 2.0]]), "row 3: points: wanted 2 points [x, y], got [[1.0, 2.0]]"),
        ("cervix", put(0, points=[[1.0, 2.0], [3.0]]), "row 0: points: wanted 2 points [x, y]"),
        ("cervix", put(0, points=[[1.0, 2.0], None]), "row 0: points: wanted 2 points [x, y]"),
        ("cervix", put(0, points=[[1.0, 2.0], [3.0, float("inf")]]), "row 0: points: wanted 2 points [x, y]"),
        (
            "fibroid",
            put(2, boxes=[[1.0, 2.0, 3.0]]),
            "row 2: boxes: wanted a list of boxes [x_min, y_min, x_max, y_max]",
        ),
        ("fibroid", put(2, boxes=[[1.0, None, 3.0, 4.0]]), "row 2: boxes: wanted a list of boxes"),
        ("breast", put(0, label=2), "labels must be 0 to 1, got 0 to 2"),
        ("heart", put(1, mask=None), "1 of 4 rows have no mask, the first is row 1"),
        ("heart", put(1, image=None), "1 of 4 rows have no image, the first is row 1"),
        ("heart", put(1, sample_id="heart/train/0"), "the sample id 'heart/train/0' is there more than once"),
    ],
)
def test_odd_rows_are_one_line_with_file_and_row(folder: Path, task: str, change: Change, message: str) -> None:
    path = folder / task / "train.parquet"
    rewrite(path, change)
    with pytest.raises(DataError) as caught:
        tasks_of(folder)[task].load("train")
    assert f"{path}: {message}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("task", "change", "message"),
    [
        ("heart", put(2, image={"bytes": b"no image", "path": None}), "row 2: "),
        ("heart", put(2, mask=cell(np.zeros((10, 12)))), "row 2: the mask is empty"),
        ("heart", put(2, mask=cell(np.ones((5, 12)))), "row 2: the mask is 12 x 5 pixels, its image is 12 x 10 pixels"),
        ("heart", put(2, mask=cell(np.full((10, 12), 7))), "row 2: the mask has the class 7"),
        ("fibroid", put(1, boxes=[]), "row 1: wanted 1 to 2 boxes, got 0"),
        ("fibroid", put(1, boxes=[[0.0, 0.0, 2.0, 2.0]] * 3), "row 1: wanted 1 to 2 boxes, got 3"),
        ("fibroid", put(1, boxes=[[3.0, 1.0, 2.0, 2.0]]), "row 1: the box [3.0, 1.0, 2.0, 2.0] is empty or not inside"),
    ],
)
def test_what_decoding_finds_names_file_and_row(folder: Path, task: str, change: Change, message: str) -> None:
    path = folder / task / "test.parquet"
    rewrite(path, change)
    found = tasks_of(folder)[task]
    with pytest.raises(BrokenSamplesError) as caught:
        decode_rows(found.load("test"), found, lambda position, image: None)
    assert f"{path}: {message}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("column", ["sample_id", "image", "patient", "points"])
def test_a_missing_column_is_found_when_the_stream_is_loaded(folder: Path, column: str) -> None:
    path = folder / "cervix/validation.parquet"
    pq.write_table(pq.read_table(path).drop_columns([column]), path)
    with pytest.raises(DataError) as caught:
        tasks_of(folder)
    wanted = "(wanted sample_id, image, patient, points)"
    assert str(caught.value) == f"{path}: column {column!r} is missing {wanted}"


def test_missing_and_damaged_files_are_found_when_the_stream_is_loaded(folder: Path) -> None:
    path = folder / "cervix/validation.parquet"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match=r"cervix/validation\.parquet: damaged or not Parquet"):
        tasks_of(folder)
    path.unlink()
    with pytest.raises(DataError, match=r"cervix/validation\.parquet: no such file"):
        tasks_of(folder)


def test_a_column_of_another_type_is_one_line(folder: Path) -> None:
    path = folder / "belly/train.parquet"
    table = pq.read_table(path)
    texts = pa.array(["many"] * EACH, pa.string())
    pq.write_table(table.set_column(table.schema.get_field_index("value"), "value", texts), path)
    with pytest.raises(DataError, match=r"belly/train\.parquet: damaged: ") as caught:
        tasks_of(folder)["belly"].load("train")
    assert "\n" not in str(caught.value)


def test_classes_are_those_of_the_card(folder: Path) -> None:
    card = yaml.safe_load((folder / "card.yaml").read_text(encoding="utf-8"))
    card["tasks"][1]["source"]["classes"] = ["malignant", "benign"]
    (folder / "card.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")
    wanted = "breast: the card wants the classes malignant, benign, got benign, malignant"
    with pytest.raises(DataError, match=wanted):
        tasks_of(folder)


def test_the_source_must_fit_the_kind(folder: Path) -> None:
    card = yaml.safe_load((folder / "card.yaml").read_text(encoding="utf-8"))
    card["tasks"][3]["source"] = {"task_id": "cervix", "points": 2}
    (folder / "card.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")
    with pytest.raises(ConfigError, match="task_id"):
        tasks_of(folder)
    card["tasks"][3].update(source={"points": 2}, metric="dice")
    (folder / "card.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")
    with pytest.raises(ConfigError, match="task cervix: metric must be point_accuracy for regression, got 'dice'"):
        tasks_of(folder)


def test_a_patient_in_two_parts_is_refused_over_all_tasks(folder: Path) -> None:
    rewrite(folder / "belly/test.parquet", put(3, patient="train-1"))
    with pytest.raises(DataError) as caught:
        tasks_of(folder)
    first, second = folder / "heart/train.parquet", folder / "belly/test.parquet"
    assert str(caught.value) == f"{second}: row 3: patient 'train-1' is in 'test', but in 'train' in {first}: row 2"


def test_unknown_patients_are_no_patient(folder: Path) -> None:
    for split in SPLITS:
        rewrite(folder / "belly" / f"{split}.parquet", lambda rows: [row.update(patient="") for row in rows])
    assert set(tasks_of(folder)["belly"].load("train")["patient"]) == {""}


def test_fingerprints_follow_contents_and_what_is_asked(folder: Path) -> None:
    before = {(name, split): task.fingerprint(split) for name, task in tasks_of(folder).items() for split in SPLITS}
    assert len(set(before.values())) == len(before)
    rewrite(folder / "belly/train.parquet", put(0, value=13.0))
    card = yaml.safe_load((folder / "card.yaml").read_text(encoding="utf-8"))
    card["tasks"][2]["source"] = {"boxes": 3}
    (folder / "card.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")
    after = {(name, split): task.fingerprint(split) for name, task in tasks_of(folder).items() for split in SPLITS}
    assert {key for key in before if before[key] != after[key]} == {
        ("belly", "train"),
        *(("fibroid", split) for split in SPLITS),
    }
