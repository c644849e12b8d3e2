"""The splits of task arithmetic on made-up copies of the eight sets: against torch, torchvision and by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.streams.conftest import write_lines
from torchvision import datasets as tv

from clbench.core.errors import DataError
from clbench.spec.task import SPLITS, Split, Task
from clbench.streams.card import load_stream
from clbench.streams.clip_domains.image_sets.check_image_sets import check_stream
from clbench.streams.clip_domains.image_sets.image_part import ImagePart, new_part
from clbench.streams.clip_domains.image_sets.image_set_facts import Convention, facts_of
from clbench.streams.clip_domains.image_sets.known_image_sets import open_set
from clbench.streams.clip_domains.image_sets.task_arithmetic import held_out

Rows = list[tuple[bytes, int]]
PUBLISHED: dict[str, Callable[[Path, str], Any]] = {
    "gtsrb": lambda root, split: tv.GTSRB(root, split=split),
    "mnist": lambda root, split: tv.MNIST(root, train=split == "train"),
    "stanford_cars": lambda root, split: tv.StanfordCars(root, split=split),
    "svhn": lambda root, split: tv.SVHN(root / "svhn", split=split),
}
CONVENTION: Convention = "task-arithmetic"


def rows_of(task: Task, split: Split) -> Rows:
    return [(row["image"].convert("RGB").tobytes(), row["label"]) for row in task.load(split)]


def theirs(rows: Any) -> Rows:
    return [(image.convert("RGB").tobytes(), int(label)) for image, label in rows]


def one(write_card: Callable[..., str], root: Path, name: str) -> Task:
    (task,) = load_stream(write_card(name, convention=CONVENTION), str(root)).tasks
    return task


def names_of(root: Path, name: str) -> dict[Split, tuple[str, ...]]:
    return {split: read().names for split, read in open_set(root, name, CONVENTION).parts.items()}


@pytest.mark.parametrize("name", PUBLISHED)
def test_training_parts_are_split_as_the_released_code_splits_them(
    roots: dict[str, Path], write_card: Callable[..., str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("torchvision.datasets.svhn.check_integrity", lambda *_: True)  # made-up files, other sums
    root = roots[CONVENTION]
    whole, task = PUBLISHED[name](root, "train"), one(write_card, root, name)
    number = int(0.1 * len(whole))
    sizes, generator = [len(whole) - number, number], torch.Generator().manual_seed(0)
    train, validation = torch.utils.data.random_split(whole, sizes, generator)
    assert number > 0
    assert rows_of(task, "train") == theirs(train)
    assert rows_of(task, "validation") == theirs(validation)
    assert rows_of(task, "test") == theirs(PUBLISHED[name](root, "test"))


def test_traffic_signs_are_numbered_by_their_folders(
    new_root: Callable[[str], Path], write_card: Callable[..., str]
) -> None:
    root = new_root(CONVENTION)
    (root / "gtsrb/GTSRB/Training/00002").rename(root / "gtsrb/GTSRB/Training/00014")
    task = one(write_card, root, "gtsrb")
    assert {label for _, label in rows_of(task, "train") + rows_of(task, "validation")} == {0, 1, 14}
    assert task.classes[14] == "stop"


def test_the_draw_is_the_one_that_the_released_code_asserts() -> None:
    """Of MNIST's 60,000 training images, number 36,044 comes first; at most 5,000 validate."""
    names = [f"{row:05d}" for row in range(60_000)]
    whole = new_part(Path("here"), Path("here"), names, np.arange(60_000) % 10)

    def read(*_: object) -> Any:
        from clbench.streams.clip_domains.image_sets.found_image_set import FoundImageSet

        return FoundImageSet(Path("here"), ("a",), {"train": lambda: whole, "test": lambda: whole})

    found: dict[Split, ImagePart] = {split: part() for split, part in held_out(read)(None, None).parts.items()}  # type: ignore[arg-type]
    assert found["train"].names[0] == "36044"
    assert (len(found["train"].names), len(found["validation"].names)) == (55_000, 5_000)
    assert set(found["train"].names) | set(found["validation"].names) == set(names)


def test_dtd_trains_on_both_official_parts_in_the_order_of_folders(roots: dict[str, Path]) -> None:
    found = names_of(roots[CONVENTION], "dtd")
    whole = [f"{name}/{name}_{row:04d}.jpg" for name in ("banded", "polka-dotted") for row in range(7)]
    order = torch.randperm(14, generator=torch.Generator().manual_seed(0)).tolist()
    assert found["train"] + found["validation"] == tuple(whole[row] for row in order)
    assert len(found["validation"]) == 1
    assert found["test"] == names_of_torchvision(roots, "dtd")["test"]


def names_of_torchvision(roots: dict[str, Path], name: str) -> dict[Split, tuple[str, ...]]:
    return {split: read().names for split, read in open_set(roots["torchvision"], name, "torchvision").parts.items()}


def test_half_of_the_fifth_that_mtil_tests_on_validates_on_eurosat(roots: dict[str, Path]) -> None:
    found, before = names_of(roots[CONVENTION], "eurosat"), names_of_torchvision(roots, "eurosat")
    assert found["train"] == before["train"]
    assert found["validation"] + found["test"] == before["test"]
    assert len(found["validation"]) == 3


def test_sun397_is_the_first_official_partition(roots: dict[str, Path], write_card: Callable[..., str]) -> None:
    root = roots[CONVENTION]
    found, task = names_of(root, "sun397"), one(write_card, root, "sun397")
    listed = {(root / f"SUN397/{name}_01.txt").read_text("utf-8") for name in ("Training", "Testing")}
    assert {f"/{name}" for part in found.values() for name in part} == set("".join(listed).split())
    assert task.classes == ("abbey", "apartment building outdoor", "bakery shop")
    assert found["test"][:3] == tuple(f"a/abbey/sun_a{row:03d}.jpg" for row in (7, 8, 9))
    assert [label for _, label in rows_of(task, "test")] == [0] * 3 + [1] * 3 + [2] * 3


def test_resisc_is_read_by_its_lists_in_the_order_of_folders(
    roots: dict[str, Path], write_card: Callable[..., str]
) -> None:
    root = roots[CONVENTION]
    found, task = names_of(root, "resisc45"), one(write_card, root, "resisc45")
    raw = ("railway", "railway_station", "sea_ice")
    wanted = [f"{name}/{name}_{row:03d}.jpg" for name in raw for row in (8, 9, 10)]
    assert found["test"] == tuple(wanted)
    assert task.classes == ("railway", "railway station", "sea ice")
    assert [label for _, label in rows_of(task, "test")] == [0] * 3 + [1] * 3 + [2] * 3
    assert len(found["train"]) + len(found["validation"]) == 15


def test_digits_are_named_by_themselves(roots: dict[str, Path], write_card: Callable[..., str]) -> None:
    for name in ("mnist", "svhn"):
        assert one(write_card, roots[CONVENTION], name).classes == tuple("0123456789")
    assert one(write_card, roots[CONVENTION], "svhn").load("train").features["label"].names[0] == "0"


def test_published_sizes_are_those_that_the_split_makes() -> None:
    """A tenth of the official training images, at most 5,000."""
    official = {"gtsrb": 26_640, "mnist": 60_000, "resisc45": 18_900, "stanford_cars": 8_144, "sun397": 19_850}
    for name, number in {**official, "svhn": 73_257, "dtd": 2 * 1_880}.items():
        sizes = facts_of(name).expected["task-arithmetic"]
        assert sizes.validation == min(number // 10, 5_000)
        assert sizes.train == number - sizes.validation


def test_the_check_counts_every_part(roots: dict[str, Path]) -> None:
    reports = {report.dataset: report for report in check_stream("ta8", roots[CONVENTION], images=True)}
    assert {name: found for name, (found, _) in reports["gtsrb"].numbers.items()} == {
        "classes": 43,
        "train": 19,
        "validation": 2,
        "test": 9,
    }
    assert reports["svhn"].numbers["test"] == (30, 26_032)
    for report in reports.values():
        assert all("wanted the published" in problem for problem in report.problems), report.problems


def test_advice_for_what_is_missing(new_root: Callable[[str], Path]) -> None:
    import shutil

    root = new_root(CONVENTION)
    shutil.rmtree(root / "gtsrb")
    (root / "resisc45/resisc45-test.txt").unlink()
    (root / "SUN397/Training_01.txt").unlink()
    found = {report.dataset: report for report in check_stream("ta8", root, images=False)}
    assert "GTSRB (German Traffic Sign Recognition Benchmark) is missing" in found["gtsrb"].problems[0]
    assert "GTSRB-Training_fixed.zip" in found["gtsrb"].advice[0]
    assert any("resisc45-test.txt is missing" in problem for problem in found["resisc45"].problems)
    assert any("Training_01.txt or Partitions/Training_01.txt is missing" in line for line in found["sun397"].problems)
    assert "Partitions.zip" in found["sun397"].advice[0]


def signs(text: str) -> Callable[[Path], object]:
    return lambda root: (root / "gtsrb/GT-final_test.csv").write_text(text, "utf-8")


DAMAGES: list[tuple[str, Split, Callable[[Path], object], str]] = [
    ("gtsrb", "test", signs("Filename,ClassId\na,1\n"), "wanted semicolons"),
    ("gtsrb", "test", signs("Filename;Width\na.ppm;1\n"), "the column ClassId is missing"),
    ("gtsrb", "test", signs("Filename;ClassId\na.ppm;43\n"), "classes must be numbered 0 to 42, got '43'"),
    ("gtsrb", "test", signs("Filename;ClassId\n../a.ppm;1\n"), "no path below the folder of the images"),
    ("gtsrb", "test", signs(""), "GT-final_test.csv: lists no images"),
    (
        "gtsrb",
        "train",
        lambda root: (root / "gtsrb/GTSRB/Training/00002").rename(root / "gtsrb/GTSRB/Training/stop"),
        "classes must be numbered 0 to 42, got 'stop'",
    ),
    (
        "gtsrb",
        "train",
        lambda root: (root / "gtsrb/GTSRB/Training").rename(root / "gtsrb/GTSRB/Final_Training"),
        "not the 26,640 of GTSRB-Training_fixed.zip",
    ),
    (
        "resisc45",
        "test",
        lambda root: write_lines(root / "resisc45/resisc45-test.txt", ["lake_001.jpg"]),
        "class 'lake' is not among the 3 classes",
    ),
    (
        "sun397",
        "train",
        lambda root: write_lines(root / "SUN397/Training_01.txt", ["/a/attic/sun_a.jpg"]),
        "class 'attic' is not among the 3 classes",
    ),
]


@pytest.mark.parametrize(("name", "split", "damage", "message"), DAMAGES)
def test_bad_data_are_one_clear_line(
    new_root: Callable[[str], Path],
    write_card: Callable[..., str],
    name: str,
    split: Split,
    damage: Callable[[Path], object],
    message: str,
) -> None:
    root = new_root(CONVENTION)
    damage(root)
    with pytest.raises(DataError) as caught:
        one(write_card, root, name).load(split)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(root) in str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"X": np.zeros((32, 32, 4), np.uint8), "y": np.ones((4, 1))}, "X must be 32 x 32 x 3 x n bytes"),
        ({"X": np.zeros((32, 32, 3, 4)), "y": np.ones((4, 1))}, "X must be 32 x 32 x 3 x n bytes"),
        ({"X": np.zeros((32, 32, 3, 4), np.uint8), "y": np.ones((3, 1))}, "4 images, but 3 labels"),
        ({"X": np.zeros((32, 32, 3, 4), np.uint8), "y": np.zeros((4, 1))}, "y must be 1 to 10, got 0 to 0"),
        ({"X": np.zeros((32, 32, 3, 4), np.uint8)}, "the variable 'y' is missing"),
    ],
)
def test_bad_matrices_are_one_clear_line(
    roots: dict[str, Path], tmp_path: Path, values: dict[str, Any], message: str
) -> None:
    from scipy.io import savemat

    (tmp_path / "svhn").mkdir()
    savemat(tmp_path / "svhn/train_32x32.mat", values, do_compression=True)
    with pytest.raises(DataError) as caught:
        open_set(tmp_path, "svhn", CONVENTION).parts["train"]()
    assert message in str(caught.value)


def test_only_the_eight_sets_have_the_convention(roots: dict[str, Path], write_card: Callable[..., str]) -> None:
    with pytest.raises(DataError, match=r"the convention 'task-arithmetic' has no Food-101"):
        load_stream(write_card("food101", convention=CONVENTION), str(roots[CONVENTION]))
    with pytest.raises(DataError, match=r"the convention 'coop' has no SVHN"):
        load_stream(write_card("svhn"), str(roots[CONVENTION]))


def test_every_part_of_a_set_is_apart_from_the_others(roots: dict[str, Path]) -> None:
    for name in ("sun397", "resisc45", "eurosat", "gtsrb", "dtd"):
        found = names_of(roots[CONVENTION], name)
        assert set(found) == set(SPLITS)
        assert len({image for part in found.values() for image in part}) == sum(map(len, found.values()))
