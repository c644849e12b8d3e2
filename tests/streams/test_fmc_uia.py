"""Streams in the layout of FMC_UIA: what is read is what was written, and parts keep patients and images apart."""

import copy
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.streams.fmc_root import TASKS, FmcRoot, fmc_root
from typer.testing import CliRunner

from clbench.cli.data import app
from clbench.contracts import Task
from clbench.core.cards import STREAM_CARDS
from clbench.kinds import decode_rows
from clbench.spec.task import SPLITS
from clbench.streams.card import load_stream, read_card
from clbench.streams.loaders.fmc_uia import source_of
from clbench.streams.ultrasound.labelled_image import ImageFile, LabelledImage
from clbench.streams.ultrasound.patient_split import part_of

CHALLENGE = {
    "segmentation": {
        "breast_lesion": 2,
        "cardiac_multi": 4,
        "carotid_artery": 2,
        "cervix": 2,
        "cervix_multi": 3,
        "fetal_abdomen_multi": 5,
        "fetal_head": 2,
        "fetal_heart": 2,
        "head_symphysis_multi": 3,
        "lung": 2,
        "ovary_tumor": 2,
        "thyroid_nodule": 2,
    },
    "classification": {
        "breast_2cls": 2,
        "breast_3cls": 3,
        "fetal_head_pos_cls": 8,
        "fetal_sacral_pos_cls": 8,
        "fetal_plane_cls": 6,
        "liver_lesion_2cls": 2,
        "lung_2cls": 2,
        "lung_disease_3cls": 3,
        "organ_cls": 6,
    },
    "detection": {"spinal_cord_injury_loc": 1, "thyroid_nodule_det": 1, "uterine_fibroid_det": 1},
    "regression": {"FUGC": 2, "IUGC": 3, "fetal_femur": 2},
}
"""The challenge's 27 sub-tasks with their classes, boxes and points, written out by hand."""


@pytest.fixture
def root(tmp_path: Path) -> FmcRoot:
    return fmc_root(tmp_path)


def tasks_of(root: FmcRoot) -> dict[str, Task]:
    return {task.name: task for task in load_stream(root.card, str(root.folder)).tasks}


def decoded(task: Task, split: Any) -> tuple[list[str], dict[int, Any], dict[str, pa.Array]]:
    """Ids, images by position, and truths of a part."""
    rows, images = task.load(split), dict[int, Any]()

    def take(position: int, image: Image.Image) -> None:
        images[position] = np.asarray(image)

    return rows["sample_id"][:], images, decode_rows(rows, task, take)


def mask_of(data: bytes) -> Any:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def test_the_card_has_the_27_official_tasks() -> None:
    file = STREAM_CARDS.get("fmc-uia")
    card = read_card(file.values, file.path)
    found: dict[str, dict[str, int]] = {kind: {} for kind in CHALLENGE}
    for task in card.tasks:
        source = source_of(card, task)
        assert source.task_id == task.name
        found[task.kind][task.name] = len(source.classes) or source.points or source.boxes
    assert found == CHALLENGE
    metrics = {"segmentation": "dice", "classification": "accuracy", "detection": "iou", "regression": "point_accuracy"}
    assert all(task.metric == metrics[task.kind] for task in card.tasks)


def test_what_is_read_is_what_was_written(root: FmcRoot) -> None:
    for task in tasks_of(root).values():
        seen = []
        for split in SPLITS:
            ids, images, truth = decoded(task, split)
            assert len(ids) > 0
            for position, sample in enumerate(ids):
                name, _, stem = sample.partition("/")
                number = int(stem)
                assert name == task.name
                folder = {"heart": "Segmentation/Three", "breast": "Classification/Three", "cervix": "Regression"}
                path = f"{folder.get(name, 'Detection/One')}/data (1), new/{stem}.png"
                assert (images[position] == root.images[path][..., None]).all()
                assert images[position].shape == (10, 12, 3)
                assert truth["size"][position].as_py() == [10, 12]
                if name == "heart":
                    mask = root.images[f"Segmentation/Three/masks/{stem}.png"]
                    assert (mask_of(truth["mask"][position].as_py()) == mask).all()
                elif name == "fibroid":
                    assert truth["boxes"][position].as_py() == [[number % 4, 1.5, number % 4 + 6, 9]]
                elif name == "cervix":
                    assert truth["points"][position].as_py() == [[number % 12, 2.5], [3, number % 10]]
                seen.append(number)
            if name == "breast":
                assert set(truth) == {"size"}
                labels = task.load(split)
                assert [int(i.rpartition("/")[2]) % 3 for i in ids] == labels["label"][:]
                assert labels.features["label"].names == ["a", "b", "c"]
        assert sorted(seen) == list(range(30))


def test_the_fields_of_a_task_are_those_of_its_source(root: FmcRoot) -> None:
    tasks = copy.deepcopy(TASKS)
    tasks[0]["source"]["empty_masks"] = True
    tasks[2]["source"]["boxes"] = 3
    root.write_card(tasks)
    found = tasks_of(root)
    heart, fibroid, cervix = found["heart"], found["fibroid"], found["cervix"]
    assert (heart.classes, heart.empty_masks) == (("background", "wall", "cavity"), True)
    assert (fibroid.boxes, fibroid.classes) == (3, ())
    assert (cervix.points, cervix.value_range, cervix.empty_masks) == (2, None, False)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk"])
def test_names_of_any_alphabet_in_both_encodings(root: FmcRoot, encoding: str) -> None:
    name = "胎儿\u3000头"  # with the blank of Chinese, which is none of ASCII's
    root.image(f"Classification/Three/{name}.png", np.full((4, 5), 7, np.uint8))
    root.rows["Cls-Three"] = [f"../Classification/Three/{name}.png,2,breast_3cls,classification,3"]
    root.write(encoding)
    task = tasks_of(root)["breast"]
    (split,) = [split for split in SPLITS if len(task.load(split))]
    ids, images, _ = decoded(task, split)
    assert ids == [f"breast/{name}"]
    assert images[0].shape == (4, 5, 3)


def test_of_16_bits_the_upper_8_are_seen(root: FmcRoot) -> None:
    deep = np.arange(120, dtype=np.uint16).reshape(10, 12) * 500
    Image.fromarray(deep).save(root.folder / "Classification/Three/deep.png")
    root.rows["Cls-Three"] = ["../Classification/Three/deep.png,2,breast_3cls,classification,3"]
    root.write()
    task = tasks_of(root)["breast"]
    (split,) = [split for split in SPLITS if len(task.load(split))]
    assert (decoded(task, split)[1][0] == (deep // 256)[..., None]).all()


def test_a_missing_point_is_the_origin_as_the_challenge_has_it(root: FmcRoot) -> None:
    root.rows["Reg-Two"] = ['"../Regression/data (1), new/001.png",FUGC,regression,2,"[1, 2]",']
    root.write()
    task = tasks_of(root)["cervix"]
    (split,) = [split for split in SPLITS if len(task.load(split))]
    assert decoded(task, split)[2]["points"].to_pylist() == [[[1, 2], [0, 0]]]


def test_labels_that_a_spreadsheet_has_made_fractions(root: FmcRoot) -> None:
    before = tasks_of(root)["breast"].load("train")["label"][:]
    root.rows["Cls-Three"] = [line.replace(",breast", ".0,breast") for line in root.rows["Cls-Three"]]
    root.write()
    assert tasks_of(root)["breast"].load("train")["label"][:] == before


def test_rows_of_one_image_are_its_boxes(root: FmcRoot) -> None:
    root.rows["Det-One"] += ['"../Detection/One/data (1), new/004.png",fibroid_det,detection,1,1,1,2,2']
    root.write()
    tasks = copy.deepcopy(TASKS)
    tasks[2]["source"]["boxes"] = 2
    root.write_card(tasks)
    task = tasks_of(root)["fibroid"]
    found = dict[str, Any]()
    for split in SPLITS:
        ids, _, truth = decoded(task, split)
        found |= dict(zip(ids, truth["boxes"].to_pylist(), strict=True))
    assert found["fibroid/004"] == [[0, 1.5, 6, 9], [1, 1, 2, 2]]
    assert [len(boxes) for boxes in found.values()].count(1) == 29


def test_one_value_a_image_by_a_column_of_our_own(root: FmcRoot) -> None:
    header = "image_path,task_id,task_name,value,patient,split\n"
    rows = [
        f'"../Regression/data (1), new/{n:03d}.png",hc,Regression,{40 + n}.5,p{n},{split}'
        for n, split in enumerate(("train", "validation", "test", "Train"))
    ]
    (root.folder / "csv_files" / "Reg-value.csv").write_text(header + "\n".join(rows), encoding="utf-8")
    source = {"task_id": "hc", "value_range": [0, 100], "unit": "mm"}
    root.write_card([{"name": "hc", "kind": "regression", "metric": "value_accuracy", "source": source}])
    task = tasks_of(root)["hc"]
    assert (task.value_range, task.unit, task.points) == ((0, 100), "mm", 0)
    assert decoded(task, "train")[2]["value"].to_pylist() == [40.5, 43.5]
    assert decoded(task, "test")[2]["value"].to_pylist() == [42.5]
    assert task.load("train")["patient"][:] == ["p0", "p3"]


def test_stems_that_a_task_has_twice_become_whole_paths(root: FmcRoot) -> None:
    root.image("Classification/Three/other/004.png", np.zeros((4, 5), np.uint8))
    root.rows["Cls-Three"] += ["../Classification/Three/other/004.png,0,breast_3cls,classification,3"]
    root.write()
    task = tasks_of(root)["breast"]
    ids = {i for split in SPLITS for i in task.load(split)["sample_id"][:]}
    assert len(ids) == 31
    assert "breast/Classification/Three/other/004.png" in ids
    assert "breast/005" in ids
    assert "breast/004" not in ids


def test_a_image_that_tasks_share_is_in_one_part(root: FmcRoot) -> None:
    root.rows["Cls-Three"] = [
        f'"../Segmentation/Three/data (1), new/{n:03d}.png",{n % 3},breast_3cls,classification,3' for n in range(30)
    ]
    root.write()
    tasks = tasks_of(root)
    for split in SPLITS:
        assert [i.rpartition("/")[2] for i in tasks["heart"].load(split)["sample_id"][:]] == [
            i.rpartition("/")[2] for i in tasks["breast"].load(split)["sample_id"][:]
        ]


def test_fingerprints_say_what_a_part_has(root: FmcRoot, tmp_path_factory: pytest.TempPathFactory) -> None:
    def prints(root: FmcRoot = root) -> dict[tuple[str, str], str]:
        return {(name, split): task.fingerprint(split) for name, task in tasks_of(root).items() for split in SPLITS}

    before = prints()
    assert len(set(before.values())) == len(before)
    assert before == prints(fmc_root(tmp_path_factory.mktemp("elsewhere")))
    root.rows["Reg-Two"] = [line.replace('"[3, 4]"', '"[3, 4.5]"') for line in root.rows["Reg-Two"]]
    root.write()
    changed = {key for key, value in prints().items() if value != before[key]}
    assert {name for name, _ in changed} == {"cervix"}
    root.image("Segmentation/Three/masks/003.png", np.ones((10, 12), np.uint8))
    changed = {key for key, value in prints().items() if value != before[key]}
    assert {name for name, _ in changed} == {"cervix", "heart"}


@settings(max_examples=200)
@given(st.text(min_size=1, max_size=12), st.lists(st.text("ab/0", min_size=1, max_size=8), min_size=1, max_size=6))
def test_all_images_of_a_patient_are_in_one_part(patient: str, paths: list[str]) -> None:
    root = Path("/root")
    rows = [LabelledImage(str(n), ImageFile((root / "p" / path,)), 0, "", patient) for n, path in enumerate(paths)]
    assert len({part_of(row, root) for row in rows}) == 1


def test_the_shares_of_the_parts() -> None:
    root = Path("/root")
    parts = [part_of(LabelledImage("", ImageFile((root / f"{n}.png",)), 0, ""), root) for n in range(10_000)]
    assert [parts.count(split) / 10_000 for split in SPLITS] == pytest.approx([0.7, 0.1, 0.2], abs=0.015)
    known = [
        part_of(LabelledImage("", ImageFile((root / name,)), 0, ""), root) for name in ("a.png", "y.png", "aa.png")
    ]
    assert known == ["train", "validation", "test"]  # SHA-256 begins 7f07, bf22, d95b; parts of old data must stay


def test_data_check_tells_what_is_there(root: FmcRoot) -> None:
    done = CliRunner().invoke(app, ["check", root.card, "--root", str(root.folder), "--images"], catch_exceptions=False)
    assert done.exit_code == 0, done.stdout
    assert "complete" in done.stdout
    root.csv("Det-One").unlink()
    (root.folder / "Segmentation/Three/masks/007.png").unlink()
    (root.folder / "Regression/data (1), new/003.png").write_bytes(b"no image")
    done = CliRunner().invoke(app, ["check", root.card, "--root", str(root.folder)], catch_exceptions=False)
    assert done.exit_code == 2
    text = " ".join(done.stdout.split())
    assert "no CSV file has rows whose task_id is 'fibroid_det'" in text
    assert "1 of" in text
    assert "the first is 'Segmentation/Three/masks/007.png'" in text
    assert "https://www.codabench.org/competitions/11539/" in text
    assert "Regression" not in text
    done = CliRunner().invoke(app, ["check", root.card, "--root", str(root.folder), "--images"], catch_exceptions=False)
    assert "does not decode" in " ".join(done.stdout.split())
