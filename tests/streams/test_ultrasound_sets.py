"""The public ultrasound sets on made-up roots in the true layouts and formats: what is read is what was written."""

import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
import yaml
from PIL import Image
from tests.streams.ultrasound_roots import WRITERS, Truths
from typer.testing import CliRunner

from clbench.cli.data import app
from clbench.contracts import Task
from clbench.core.cards import STREAM_CARDS
from clbench.core.errors import BrokenSamplesError, ConfigError, DataError
from clbench.kinds import decode_rows
from clbench.spec.task import SPLITS
from clbench.streams.card import load_stream, read_card
from clbench.streams.loaders.ultrasound_sets import source_of
from clbench.streams.ultrasound.sets.known_ultrasound_sets import SETS

ASKED = [(name, task) for name, known in SETS.items() for task in known.tasks]
METRICS = {"segmentation": "dice", "classification": "accuracy", "detection": "iou", "regression": "value_accuracy"}

Made = tuple[Path, dict[str, Truths]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """All ten sets; not to be changed."""
    root = tmp_path_factory.mktemp("ultrasound")
    return root, {name: write(root) for name, write in WRITERS.items()}


def write_card(folder: Path, *asked: tuple[str, str]) -> str:
    tasks = [
        {
            "name": f"{name}.{task}",
            "kind": SETS[name].tasks[task].kind,
            "metric": METRICS[SETS[name].tasks[task].kind],
            "source": {"dataset": name, "task": task},
        }
        for name, task in asked
    ]
    card = {"name": "own", "description": "", "loader": "ultrasound-sets", "learner": "vit:none", "order_reason": "x"}
    path = folder / "card.yaml"
    path.write_text(yaml.safe_dump({**card, "protocols": ["task-id"], "tasks": tasks}), encoding="utf-8")
    return str(path)


def only_task(root: Path, folder: Path, name: str, task: str) -> Task:
    (found,) = load_stream(write_card(folder, (name, task)), str(root)).tasks
    return found


def samples(task: Task) -> dict[str, dict[str, Any]]:
    """ImageFile, part, patient and truth of each sample."""
    found: dict[str, dict[str, Any]] = {}
    for split in SPLITS:
        rows, images = task.load(split), dict[int, Any]()
        if not len(rows):
            continue

        def take(position: int, image: Image.Image, into: dict[int, Any] = images) -> None:
            into[position] = np.asarray(image)

        truth = {key: column.to_pylist() for key, column in decode_rows(rows, task, take).items()}
        if task.kind == "classification":
            truth["label"] = rows["label"][:]
        for position, sample in enumerate(rows["sample_id"][:]):
            values = {key: column[position] for key, column in truth.items()}
            patient = rows["patient"][position]
            found[sample] = {"image": images[position], "split": split, "patient": patient, **values}
    return found


def same(found: dict[str, Any], wanted: Any, kind: str, exact: bool) -> bool:
    if kind == "segmentation":
        with Image.open(io.BytesIO(found["mask"])) as opened:
            mask = np.asarray(opened)
        if exact:
            return bool((mask == wanted).all())
        return bool(2 * (mask & (wanted > 0)).sum() > 0.97 * (mask.sum() + wanted.sum()))
    if kind == "regression":
        return bool(found["value"] == pytest.approx(wanted, abs=1e-4))
    return bool(found["label" if kind == "classification" else "boxes"] == wanted)


@pytest.mark.parametrize(("name", "task"), ASKED)
def test_what_is_read_is_what_was_written(made: Made, tmp_path: Path, name: str, task: str) -> None:
    root, true = made[0], made[1][name]
    loaded = only_task(root, tmp_path, name, task)
    found = {key.partition("/")[2]: value for key, value in samples(loaded).items()}
    assert set(found) == set(true[task])
    exact = name not in ("hc18", "tn3k")  # ellipses are fitted to outlines; JPEG blurs
    for key, values in found.items():
        assert same(values, true[task][key], loaded.kind, exact), key
        if true["images"][key] is not None:
            assert (values["image"] == true["images"][key][..., None]).all(), key
        parts = true.get(f"{task} parts")
        assert parts is None or values["split"] == parts[key], key
    for patient in {values["patient"] for values in found.values()} - {""}:
        assert len({values["split"] for values in found.values() if values["patient"] == patient}) == 1


def test_images_of_one_patient_have_one_name(made: Made, tmp_path: Path) -> None:
    for name, task in (("fetal-planes", "plane"), ("bus-bra", "detection")):
        found = samples(only_task(made[0], tmp_path, name, task))
        for key, values in found.items():
            assert values["patient"] == f"{name}/{made[1][name]['patients'][key.partition('/')[2]]}"
    heads = samples(only_task(made[0], tmp_path, "hc18", "segmentation"))
    assert [heads[f"hc18.segmentation/{key}"]["patient"] for key in ("001_HC", "001_2HC", "002_HC")] == [
        "hc18/001",
        "hc18/001",
        "hc18/002",
    ]


def test_the_published_test_patients_of_fetal_planes_test(made: Made, tmp_path: Path) -> None:
    found = samples(only_task(made[0], tmp_path, "fetal-planes", "plane"))
    for key, values in found.items():
        number = made[1]["fetal-planes"]["patients"][key.partition("/")[2]]
        assert (values["split"] == "test") == (number >= 8)


def test_a_root_of_all_sets_is_a_stream(made: Made) -> None:
    stream = load_stream("ultrasound-public", str(made[0]))
    assert {task.kind for task in stream.tasks} == {"segmentation", "classification", "detection", "regression"}
    assert "busi: wanted the published 780 images, got 9" in stream.data_deviations
    prints = [task.fingerprint(split) for task in stream.tasks for split in SPLITS]
    assert len(set(prints)) == len(prints)
    again = load_stream("ultrasound-public", str(made[0]))
    assert prints == [task.fingerprint(split) for task in again.tasks for split in SPLITS]


def test_parts_do_not_depend_on_how_a_set_was_unpacked(made: Made, tmp_path: Path) -> None:
    inside = tmp_path / "root" / "BUSI" / "Dataset_BUSI_with_GT"
    shutil.copytree(made[0] / "Dataset_BUSI_with_GT", inside / "Dataset_BUSI_with_GT")
    nested = samples(only_task(tmp_path / "root", tmp_path, "busi", "classification"))
    plain = samples(only_task(made[0], tmp_path, "busi", "classification"))
    assert {key: value["split"] for key, value in nested.items()} == {k: v["split"] for k, v in plain.items()}


def test_camus_as_it_was_first_published(made: Made, tmp_path: Path) -> None:
    """MetaImage with raw files beside the headers, without the split: patients are divided by their hashes."""
    for number in (1, 2):
        patient = f"patient{number:04d}"
        home = tmp_path / "root" / "CAMUS" / "training" / patient
        home.mkdir(parents=True)
        for view in ("2CH", "4CH"):
            for instant in ("ED", "ES"):
                stem = f"{patient}_{view}_{instant}"
                for end, values in (("", made[1]["camus"]["images"]), ("_gt", made[1]["camus"]["segmentation"])):
                    image = SimpleITK.GetImageFromArray(values[stem][None])
                    SimpleITK.WriteImage(image, str(home / f"{stem}{end}.mhd"))
    assert (home / "patient0002_4CH_ES_gt.raw").is_file()
    found = samples(only_task(tmp_path / "root", tmp_path, "camus", "segmentation"))
    assert len(found) == 8
    for key, values in found.items():
        stem = key.partition("/")[2]
        assert (values["image"] == made[1]["camus"]["images"][stem][..., None]).all()
        assert same(values, made[1]["camus"]["segmentation"][stem], "segmentation", exact=True)


def test_the_copies_of_ddti_with_masks(made: Made, tmp_path: Path) -> None:
    home = tmp_path / "root" / "DDTI" / "1_or_data"
    for part in ("image", "mask"):
        (home / part).mkdir(parents=True)
    for number in range(4):
        values = made[1]["busi"]["images"]["benign (1)"] if number else np.zeros((20, 26), np.uint8)
        Image.fromarray(values).save(home / "image" / f"{number:04d}.PNG")
        mask = made[1]["busi"]["segmentation"]["malignant (2)"]
        Image.fromarray(mask * 255).save(home / "mask" / f"{number:04d}.PNG")
    found = samples(only_task(tmp_path / "root", tmp_path, "ddti", "segmentation"))
    assert sorted(found) == [f"ddti.segmentation/000{number}" for number in range(4)]
    assert all(same(values, mask, "segmentation", exact=True) for values in found.values())
    with pytest.raises(DataError, match="this copy of DDTI has masks only"):
        only_task(tmp_path / "root", tmp_path, "ddti", "classification")


def test_tn3k_without_its_folds(made: Made, tmp_path: Path) -> None:
    shutil.copytree(made[0] / "tn3k", tmp_path / "root" / "tn3k")
    (tmp_path / "root" / "tn3k" / "tn3k-trainval-fold0.json").unlink()
    found = samples(only_task(tmp_path / "root", tmp_path, "tn3k", "classification"))
    for key, values in found.items():
        assert (values["split"] == "test") == ("/test/" in key)


def test_the_card_asks_what_the_sets_have() -> None:
    file = STREAM_CARDS.get("ultrasound-public")
    card = read_card(file.values, file.path)
    found = [(source_of(card, task).dataset, task.kind, task.metric) for task in card.tasks]
    assert {name for name, _, _ in found} == set(SETS) - {"breast-mnist"}  # which shows the images of busi
    assert all(metric == METRICS[kind] for _, kind, metric in found)


@pytest.mark.parametrize(
    ("source", "kind", "message"),
    [
        ({"dataset": "bussi", "task": "segmentation"}, "segmentation", "unknown dataset 'bussi': did you mean 'busi'?"),
        (
            {"dataset": "busi", "task": "segment"},
            "segmentation",
            "unknown task 'segment': did you mean 'segmentation'?",
        ),
        ({"dataset": "busi", "task": "segmentation"}, "detection", "kind must be segmentation, got detection"),
        ({"dataset": "busi"}, "segmentation", "source: task is missing"),
    ],
)
def test_cards_that_do_not_fit(tmp_path: Path, source: dict[str, str], kind: str, message: str) -> None:
    path = write_card(tmp_path, ("busi", "segmentation"))
    card = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    card["tasks"][0] |= {"source": source, "kind": kind}
    Path(path).write_text(yaml.safe_dump(card), encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_stream(path, str(tmp_path))


def test_missing_sets_are_told_together(made: Made, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"9 of 9 tasks of 'ultrasound-public' are missing: ddti, tn3k, .*data check"):
        load_stream("ultrasound-public", str(tmp_path))
    with pytest.raises(DataError, match=r"BUSI is missing .wanted a folder Dataset_BUSI_with_GT or BUSI or"):
        only_task(tmp_path, tmp_path, "busi", "segmentation")


def edited(file: str, old: str, new: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        text = (root / file).read_text(encoding="utf-8")
        assert old in text
        (root / file).write_text(text.replace(old, new, 1), encoding="utf-8")

    return change


def separated(file: str, old: str, new: str) -> Callable[[Path], None]:
    """Every separator is another one, in UTF-16 as a spreadsheet's text for Unicode."""

    def change(root: Path) -> None:
        text = (root / file).read_text(encoding="utf-8")
        (root / file).write_text(text.replace(old, new), encoding="utf-16")

    return change


def removed(file: str) -> Callable[[Path], None]:
    return lambda root: (root / file).unlink()


def written(file: str, data: bytes) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (root / file).write_bytes(data)

    return change


PATIENT = "CAMUS_public/database_nifti/patient0001/"
HC = "HC18/training_set_pixel_size_and_HC.csv"
VOC = "TN5000_forReview/Annotations/t00000.xml"


@pytest.mark.parametrize(
    ("name", "task", "damage", "message"),
    [
        (
            "busi",
            "segmentation",
            removed("Dataset_BUSI_with_GT/benign/benign (10)_mask.png"),
            "benign (10)_mask.png: no",
        ),
        ("hc18", "segmentation", removed("HC18/training_set/training_set/001_HC.png"), "csv: row 3: filename"),
        ("hc18", "circumference", edited("HC18/training_set_pixel_size_and_HC.csv", "000_HC", "../000_HC"), "row 2: "),
        ("hc18", "circumference-pixels", edited("HC18/training_set_pixel_size_and_HC.csv", "0.25", "0"), "more than 0"),
        (
            "hc18",
            "circumference",
            edited("HC18/training_set_pixel_size_and_HC.csv", "head c", "c"),
            "column 'head circ",
        ),
        (
            "camus",
            "segmentation",
            removed(f"{PATIENT}patient0001_2CH_ES_gt.nii.gz"),
            "patient0001_2CH_ES_gt.nii.gz (or",
        ),
        ("hc18", "circumference", edited(HC, "0.25", "0,25"), "row 2: wanted 3 cells, got 4"),
        ("hc18", "circumference-pixels", edited(HC, "0.25", '"0,25"'), "write the decimal comma as a point, 0.25"),
        (
            "hc18",
            "circumference",
            separated(HC, ",", ";"),
            "csv: row 1: wanted commas (',') between the cells, got semic",
        ),
        ("bus-bra", "detection", separated("BUSBRA/bus_data.csv", ",", "\t"), "between the cells, got tabs ('\\t')"),
        (
            "fetal-planes",
            "plane",
            separated("FETAL_PLANES_ZENODO/FETAL_PLANES_DB_data.csv", ";", ","),
            "row 1: wanted semicolons (';') between the cells, got commas (',')",
        ),
        (
            "tn3k",
            "classification",
            separated("tn3k/label4trainval.csv", ",", ";"),
            "row 1: wanted commas (',') between the cells, got semicolons",
        ),
        ("camus", "quality", edited(f"{PATIENT}Info_4CH.cfg", "Good", "Fine"), "wanted one of Poor, Medium, Good, got"),
        ("camus", "quality", edited(f"{PATIENT}Info_4CH.cfg", "ImageQ", "Q"), "Info_4CH.cfg: names no ImageQuality"),
        ("camus", "view", edited("CAMUS_public/database_split/subgroup_testing.txt", "4", "3"), "in 'validation' too"),
        ("camus", "view", edited("CAMUS_public/database_split/subgroup_testing.txt", "4", "9"), "names patient0004"),
        (
            "fetal-planes",
            "plane",
            edited("FETAL_PLANES_ZENODO/FETAL_PLANES_DB_data.csv", "Fetal abd", "abd"),
            "row 2: P",
        ),
        (
            "fetal-planes",
            "plane",
            edited("FETAL_PLANES_ZENODO/FETAL_PLANES_DB_data.csv", "E6;1", "E6;2"),
            "0 or 1, got",
        ),
        (
            "fetal-planes",
            "plane",
            edited("FETAL_PLANES_ZENODO/FETAL_PLANES_DB_data.csv", "\nPat", "\n../"),
            "without fol",
        ),
        ("ddti", "segmentation", removed("DDTI/1_2.jpg"), "1_2.jpg: no such file (image '2' of 1.xml)"),
        ("ddti", "segmentation", written("DDTI/2.xml", b"<case><mark>"), "2.xml: damaged or not XML: no element found"),
        ("ddti", "segmentation", written("DDTI/2.xml", b"<!DOCTYPE a [<!ENTITY a 'b'>]><a/>"), "defines entities"),
        ("tn3k", "segmentation", removed("tn3k/trainval-mask/0002.jpg"), "0002.jpg: no such file"),
        (
            "tn3k",
            "classification",
            edited("tn3k/label4trainval.csv", "0010.jpg,0", "0010.jpg,x"),
            "row 3: wanted an image",
        ),
        (
            "tn3k",
            "classification",
            edited("tn3k/label4trainval.csv", "0010.jpg,0\n", ""),
            "0010.jpg: label4trainval.csv",
        ),
        ("tn3k", "classification", edited("tn3k/tn3k-trainval-fold0.json", "4]", "5]"), "places 0 to 4 in the list"),
        (
            "tn5000",
            "detection",
            edited(VOC, "<xmin>1</xmin>", "<xmin>a</xmin>"),
            "a box must have four numbers, got 'a'",
        ),
        ("tn5000", "detection", edited(VOC, "object>", "o>"), "t00000.xml: damaged or not XML"),
        ("tn5000", "detection", removed(VOC), "t00000.xml: cannot be read: No such file"),
        ("tn5000", "detection", written(VOC, b"<annotation/>"), "t00000.xml: names no object"),
        ("tn5000", "classification", edited(VOC, "<name>0", "<name>2"), "wanted objects named 0 or 1, got '2'"),
        (
            "tn5000",
            "detection",
            edited("TN5000_forReview/ImageSets/Main/val.txt", "v", "../v"),
            "val.txt: row 1: image",
        ),
        (
            "bus-bra",
            "detection",
            edited("BUSBRA/bus_data.csv", "[0, 3, 6, 5]", "[0, 3, 6]"),
            "row 2: BBOX must be [x, y",
        ),
        (
            "bus-bra",
            "classification",
            edited("BUSBRA/bus_data.csv", "malignant", "bad"),
            "row 4: Pathology: wanted one of",
        ),
        ("bus-bra", "segmentation", removed("BUSBRA/Masks/mask_0001-l.png"), "mask_0001-l.png: no such file"),
        ("psfhs", "segmentation", removed("PSFHS/label_mha/00003.mha"), "label_mha/00003.mha: no such file"),
        (
            "breast-mnist",
            "classification",
            written("BreastMNIST/breastmnist_64.npz", b"PK"),
            "damaged or no NumPy archi",
        ),
    ],
)
def test_damaged_sets(tmp_path: Path, name: str, task: str, damage: Callable[[Path], None], message: str) -> None:
    root = tmp_path / "root"
    WRITERS[name](root)
    damage(root)
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        only_task(root, tmp_path, name, task)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "task", "file", "message"),
    [
        (
            "busi",
            "segmentation",
            "Dataset_BUSI_with_GT/malignant/malignant (2)_mask_1.png",
            "cannot identify image file",
        ),
        ("camus", "segmentation", f"{PATIENT}patient0001_2CH_ES_gt.nii.gz", "damaged or not NIfTI"),
        ("psfhs", "segmentation", "PSFHS/image_mha/00003.mha", "damaged or not MetaImage"),
        ("tn3k", "segmentation", "tn3k/trainval-image/0002.jpg", "cannot identify image file"),
    ],
)
def test_files_that_do_not_decode(tmp_path: Path, name: str, task: str, file: str, message: str) -> None:
    root = tmp_path / "root"
    WRITERS[name](root)
    (root / file).write_bytes(b"this is no image")
    loaded = only_task(root, tmp_path, name, task)
    with pytest.raises(BrokenSamplesError, match=rf"{re.escape(str(root / file))}.*{message}") as caught:
        samples(loaded)
    assert len(caught.value.positions) == 1
    assert "\n" not in str(caught.value)


def test_masks_of_different_sizes(tmp_path: Path) -> None:
    WRITERS["busi"](tmp_path / "root")
    file = tmp_path / "root/Dataset_BUSI_with_GT/malignant/malignant (2)_mask_1.png"
    Image.new("L", (5, 6)).save(file)
    with pytest.raises(
        BrokenSamplesError, match=r"_mask_1.png: 5 x 6 pixels, but malignant \(2\)_mask.png has 26 x 20"
    ):
        samples(only_task(tmp_path / "root", tmp_path, "busi", "segmentation"))


def test_an_outline_that_is_no_ellipse(tmp_path: Path) -> None:
    WRITERS["hc18"](tmp_path / "root")
    file = tmp_path / "root/HC18/training_set/training_set/000_HC_Annotation.png"
    line = np.zeros((110, 150), np.uint8)
    line[50, 20:90] = 255
    Image.fromarray(line).save(file)
    with pytest.raises(BrokenSamplesError, match=r"sample 'hc18.segmentation/000_HC': .*: the outline is no ellipse"):
        samples(only_task(tmp_path / "root", tmp_path, "hc18", "segmentation"))
    Image.fromarray(line * 0).save(file)
    with pytest.raises(BrokenSamplesError, match="the mask is empty"):
        samples(only_task(tmp_path / "root", tmp_path, "hc18", "segmentation"))


def test_data_check_tells_what_is_there(made: Made, tmp_path: Path) -> None:
    arguments = ["check", "ultrasound-public", "--root", str(made[0])]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 2
    text = " ".join(done.stdout.split())
    assert "wanted the published 780 images, got 9" in text
    assert "get it from https://zenodo.org/records/8231412; licence: CC-BY-4.0" in text
    assert "tn5000: its part" not in text
    card = write_card(tmp_path, ("ddti", "segmentation"))
    done = CliRunner().invoke(app, ["check", card, "--root", str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 2
    assert "DDTI is missing" in " ".join(done.stdout.split())
