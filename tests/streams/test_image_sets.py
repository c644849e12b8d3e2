"""Data sets as they are read: against torchvision's own classes, and few-shot draws."""

import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from torchvision import datasets as tv

from clbench.core.cards import STREAM_CARDS
from clbench.core.errors import ConfigError, DataError, RegistryError
from clbench.spec.task import Split, Task
from clbench.streams.card import load_stream
from clbench.streams.clip_domains.image_sets.image_set_facts import facts_of
from clbench.streams.clip_domains.image_sets.shots import Shots, drawn

MTIL = [
    *("aircraft", "caltech101", "cifar100", "dtd", "eurosat", "oxford_flowers"),
    *("food101", "mnist", "oxford_pets", "stanford_cars", "sun397"),
]
XTAIL = [name for name in MTIL if name != "cifar100"]
TA8 = ["sun397", "stanford_cars", "resisc45", "eurosat", "svhn", "gtsrb", "mnist", "dtd"]
EVERY = [
    *(("torchvision", name) for name in MTIL),
    *(("coop", name) for name in XTAIL),
    *(("task-arithmetic", name) for name in TA8),
]

Row = tuple[bytes, int]
"""Pixels and label."""


def only(card: str, root: Path, seed: int = 0) -> Task:
    (task,) = load_stream(card, str(root), seed).tasks
    return task


def pixels(image: Image.Image) -> bytes:
    return image.convert("RGB").tobytes()


def rows_of(task: Task, split: Split) -> list[Row]:
    return [(pixels(row["image"]), row["label"]) for row in task.load(split)]


def theirs(rows: Any) -> list[Row]:
    return [(pixels(image), int(label)) for image, label in rows]


CHALLENGE: dict[str, Callable[[Path, str], Any]] = {
    "aircraft": lambda root, split: tv.FGVCAircraft(root, split=split),
    "dtd": lambda root, split: tv.DTD(root, split=split),
    "food101": lambda root, split: tv.Food101(root, split=split),
    "mnist": lambda root, split: tv.MNIST(root, train=split == "train"),
    "oxford_flowers": lambda root, split: tv.Flowers102(root, split=split),
    "oxford_pets": lambda root, split: tv.OxfordIIITPet(root, split="trainval" if split == "train" else split),
    "stanford_cars": lambda root, split: tv.StanfordCars(root, split=split),
}
RANDOM: dict[str, Callable[[Path], Any]] = {"caltech101": tv.Caltech101, "eurosat": tv.EuroSAT}


@pytest.mark.parametrize(("convention", "name"), EVERY)
def test_every_set_is_read_in_its_conventions(
    roots: dict[str, Path], write_card: Callable[..., str], convention: str, name: str
) -> None:
    task = only(write_card(name, convention=convention), roots[convention])
    parts: list[Split] = ["train", "test"]
    for split in parts:
        rows = task.load(split)
        assert rows.column_names == ["sample_id", "image", "label"]
        assert rows.features["label"].names == list(task.classes)
        assert set(rows["label"]) <= set(range(len(task.classes)))
        assert len(set(rows["sample_id"])) == len(rows)
        assert all(sample.startswith(f"{name}/") for sample in rows["sample_id"])
        assert all(isinstance(image, Image.Image) for image in rows["image"])
    assert not set(task.load("train")["sample_id"]) & set(task.load("test")["sample_id"])
    assert not any("_" in cls for cls in task.classes)
    assert all(template.count("{}") == 1 for template in task.templates)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("name", CHALLENGE)
def test_official_splits_are_those_of_torchvision(
    roots: dict[str, Path], write_card: Callable[..., str], monkeypatch: pytest.MonkeyPatch, name: str, split: Split
) -> None:
    monkeypatch.setattr("torchvision.datasets.flowers102.check_integrity", lambda *_: True)  # made-up files, other sums
    root = roots["torchvision"]
    expected = CHALLENGE[name](root, split)
    task = only(write_card(name, convention="torchvision"), root)
    assert rows_of(task, split) == theirs(expected)
    if name != "oxford_flowers":  # the classes of the made-up set are fewer than the names that torchvision has
        assert list(task.classes) == [cls.replace("_", " ") for cls in expected.classes]


@pytest.mark.parametrize("name", RANDOM)
def test_random_splits_are_those_of_mtil(roots: dict[str, Path], write_card: Callable[..., str], name: str) -> None:
    root = roots["torchvision"]
    whole = RANDOM[name](root)
    sizes = [int(0.8 * len(whole)), len(whole) - int(0.8 * len(whole))]
    train, test = torch.utils.data.random_split(whole, sizes, generator=torch.Generator().manual_seed(42))
    task = only(write_card(name, convention="torchvision"), root)
    assert rows_of(task, "train") == theirs(train)
    assert rows_of(task, "test") == theirs(test)


def test_sun397_has_torchvisions_images_and_labels(roots: dict[str, Path], write_card: Callable[..., str]) -> None:
    whole = tv.SUN397(roots["torchvision"])
    task = only(write_card("sun397", convention="torchvision"), roots["torchvision"])
    assert sorted(rows_of(task, "train") + rows_of(task, "test")) == sorted(theirs(whole))
    assert task.classes == ("abbey", "apartment building/outdoor", "bakery/shop")
    assert len(task.load("train")) == 24


def test_cifar_is_read_from_its_binary_version(roots: dict[str, Path], write_card: Callable[..., str]) -> None:
    folder = roots["torchvision"] / "cifar-100-binary"
    records = np.frombuffer((folder / "test.bin").read_bytes(), dtype=np.uint8).reshape(-1, 3074)
    task = only(write_card("cifar100", convention="torchvision"), roots["torchvision"])
    images = [np.asarray(image) for image in task.load("test")["image"]]
    planes = [image.transpose(2, 0, 1).ravel() for image in images]
    assert np.array_equal(np.stack(planes), records[:, 2:])
    assert task.load("test")["label"][:] == records[:, 1].tolist()
    assert task.classes == ("apple", "aquarium fish", "baby")


def test_class_names_of_the_conventions_differ(roots: dict[str, Path], write_card: Callable[..., str]) -> None:
    ours = only(write_card("caltech101", convention="torchvision"), roots["torchvision"])
    theirs_ = only(write_card("caltech101", convention="coop"), roots["coop"])
    assert ours.classes == ("off-center face", "centered face", "accordion", "side of a car")
    assert theirs_.classes == ("face", "accordion", "car side")
    assert len(ours.templates) == 34
    assert theirs_.templates == ("a photo of a {}.",)


def test_the_layout_of_one_convention_serves_the_other_too(
    roots: dict[str, Path], write_card: Callable[..., str]
) -> None:
    here, there = (load_stream(write_card(*XTAIL), str(roots[name])) for name in ("torchvision", "coop"))
    for one, other in zip(here.tasks, there.tasks, strict=True):
        assert one.classes == other.classes
        assert rows_of(one, "test") == rows_of(other, "test")
        assert one.fingerprint("test") == other.fingerprint("test")


@pytest.mark.parametrize("convention", ["torchvision", "coop"])
@pytest.mark.parametrize("name", ["aircraft", "mnist", "food101"])
def test_shots_are_drawn_by_the_seed(
    roots: dict[str, Path], write_card: Callable[..., str], convention: str, name: str
) -> None:
    card = write_card(name, convention=convention, shots=2)
    tasks = [only(card, roots[convention], seed) for seed in (0, 0, 1)]
    first, again, other = (task.load("train") for task in tasks)
    assert set(Counter(first["label"]).values()) == {2}
    assert first["sample_id"][:] == again["sample_id"][:] != other["sample_id"][:]
    prints = [task.fingerprint("train") for task in tasks]
    assert prints[0] == prints[1] != prints[2]
    assert len({task.fingerprint("test") for task in tasks}) == 1
    whole = only(write_card(name, convention=convention), roots[convention])
    assert set(first["sample_id"]) < set(whole.load("train")["sample_id"])


def test_too_few_images_for_the_shots(roots: dict[str, Path], write_card: Callable[..., str]) -> None:
    with pytest.raises(
        DataError, match=r"class 'banded' of task 'dtd' has 5 training images, wanted 6 shots"
    ) as caught:
        only(write_card("dtd", shots=6), roots["coop"]).load("train")
    assert "\n" not in str(caught.value)
    rows = only(write_card("dtd", shots=6, short="repeat"), roots["coop"]).load("train")
    assert Counter(rows["label"]) == {0: 6, 1: 6}
    assert len(set(rows["sample_id"])) == 12


@given(labels=st.lists(st.integers(0, 3), min_size=1, max_size=60), shots=st.integers(1, 8), seed=st.integers(0, 2**40))
def test_a_draw_has_each_class_so_often_and_no_image_twice(labels: list[int], shots: int, seed: int) -> None:
    classes = [f"class {label}" for label in range(max(labels) + 1)]
    array: NDArray[np.int64] = np.asarray(labels, dtype=np.int64)
    counts = [labels.count(label) for label in range(len(classes))]
    if min(counts) < shots:
        with pytest.raises(DataError, match=f"{counts[next(i for i, n in enumerate(counts) if n < shots)]} training"):
            drawn(Shots(shots, seed, repeat=False), Path("here"), array, "task", classes)
        return
    rows = drawn(Shots(shots, seed, repeat=False), Path("here"), array, "task", classes)
    assert len(set(rows.tolist())) == len(rows)
    assert Counter(array[rows].tolist()) == dict.fromkeys(range(len(classes)), shots)
    assert np.array_equal(rows, drawn(Shots(shots, seed, repeat=False), Path("here"), array, "task", classes))


def test_a_moved_root_has_the_same_fingerprints(
    new_root: Callable[[str], Path], write_card: Callable[..., str], tmp_path: Path
) -> None:
    root = new_root("coop")
    card = write_card(*XTAIL)
    before = [task.fingerprint("test") for task in load_stream(card, str(root)).tasks]
    moved = root.rename(tmp_path / "elsewhere")
    assert [task.fingerprint("test") for task in load_stream(card, str(moved)).tasks] == before


@pytest.mark.parametrize(
    ("name", "file"),
    [("dtd", "dtd/images/banded/banded_0008.jpg"), ("mnist", "mnist/MNIST/raw/t10k-images-idx3-ubyte.gz")],
)
def test_a_changed_file_has_another_fingerprint(
    new_root: Callable[[str], Path], write_card: Callable[..., str], name: str, file: str
) -> None:
    import gzip

    root = new_root("coop")
    card = write_card(name)
    before = only(card, root).fingerprint("test")
    path = root / file
    if path.suffix == ".gz":
        data = bytearray(gzip.decompress(path.read_bytes()))
        data[100] ^= 1
        path.write_bytes(gzip.compress(bytes(data)))
    else:
        path.write_bytes(path.read_bytes() + b"\0")
    after = only(card, root)
    assert after.fingerprint("test") != before
    assert after.fingerprint("train") == only(card, root).fingerprint("train")


def test_only_images_of_rows_that_are_used_are_encoded(roots: dict[str, Path], write_card: Callable[..., str]) -> None:
    rows = only(write_card("mnist", shots=1), roots["coop"]).load("train").with_format("arrow")[:]
    assert len(rows) == 10
    assert all(Image.open(io.BytesIO(row["bytes"])).format == "PNG" for row in rows["image"].to_pylist())


def test_the_former_name_of_the_loader_is_one_line_that_says_the_new_one(
    roots: dict[str, Path], write_card: Callable[..., str]
) -> None:
    card = Path(write_card("mnist"))
    card.write_text(card.read_text(encoding="utf-8").replace("image-sets", "picture-sets"), encoding="utf-8")
    with pytest.raises(RegistryError) as caught:
        load_stream(str(card), str(roots["coop"]))
    assert "picture-sets" in str(caught.value)
    assert "image-sets" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", sorted({*MTIL, *TA8}))
def test_the_facts_of_a_set_hold_together(name: str) -> None:
    facts = facts_of(name)
    for convention, sizes in facts.expected.items():
        assert facts.templates[convention]
        assert not facts.classes or convention == "coop" or len(facts.classes) == sizes.classes
    assert len(set(facts.classes.values())) == len(facts.classes)
    assert ("coop" in facts.expected) == (name in XTAIL)
    assert ("task-arithmetic" in facts.expected) == (name in TA8)
    assert facts.licence
    assert facts.citation


@pytest.mark.parametrize(
    ("stream", "names", "shots", "classes"),
    [
        ("mtil-order1", MTIL, None, 1201),
        ("mtil-order1-5shot", MTIL, 5, 1201),
        ("mtil-order2", None, None, 1201),
        ("mtil-order2-5shot", None, 5, 1201),
        ("xtail", XTAIL, 16, 1100),
        ("ta8", TA8, None, 758),
    ],
)
def test_the_streams_have_the_published_sets(
    stream: str, names: list[str] | None, shots: int | None, classes: int
) -> None:
    from clbench.streams.card import read_card
    from clbench.streams.loaders.image_sets import source_of

    file = STREAM_CARDS.get(stream)
    card = read_card(file.values, file.path)
    assert card.name == stream
    assert card.shots == shots
    assert card.protocols == (("union",) if stream == "xtail" else ("task-id",))
    sources = [source_of(card, task) for task in card.tasks]
    found = [source.dataset for source in sources]
    second = [
        "stanford_cars",
        "food101",
        "mnist",
        "oxford_pets",
        "oxford_flowers",
        "sun397",
        *MTIL[:2],
        *MTIL[3:5],
        "cifar100",
    ]
    assert found == (names if names is not None else second)
    assert sum(facts_of(s.dataset).expected[s.convention].classes for s in sources) == classes


def test_data_files_are_no_streams() -> None:
    assert not set(STREAM_CARDS.names()) & {name.replace("_", "-") for name in MTIL}


def test_a_root_is_needed(write_card: Callable[..., str]) -> None:
    with pytest.raises(DataError, match=r"stream 'some' has no data of its own: it needs --root DIR"):
        load_stream(write_card("dtd"))


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"dataset": "dtdd", "convention": "coop"}, "source: dataset must be"),
        ({"dataset": "dtd"}, "source: convention is missing"),
        ({"dataset": "dtd", "convention": "coop", "shrt": "repeat"}, "unknown setting 'shrt': did you mean 'short'?"),
    ],
)
def test_a_source_is_checked(
    roots: dict[str, Path], write_card: Callable[..., str], settings_: dict[str, str], message: str
) -> None:
    task = {"name": "x", "kind": "classification", "metric": "accuracy", "source": settings_}
    with pytest.raises(ConfigError) as caught:
        load_stream(write_card(tasks=[task]), str(roots["coop"]))
    assert message in str(caught.value)


@pytest.mark.parametrize("stream", ["mtil-order1", "mtil-order2", "ta8", "xtail"])
def test_the_shipped_cards_read_a_root(roots: dict[str, Path], stream: str) -> None:
    found = load_stream(stream, str(roots["coop" if stream == "xtail" else "torchvision"]))
    assert [len(task.load("test")) > 0 for task in found.tasks] == [True] * len(found.tasks)
    ids = [sample for task in found.tasks for sample in task.load("test")["sample_id"]]
    assert len(set(ids)) == len(ids)
    prints = {task.fingerprint("test") for task in found.tasks}
    assert len(prints) == len(found.tasks)
    assert all(len(task.templates) == 1 for task in found.tasks) == (stream == "xtail")


def test_a_learner_takes_images_in_files_and_in_arrays(roots: dict[str, Path], write_card: Callable[..., str]) -> None:
    from clbench.learners._clip.decoding import decode_images

    for task in load_stream(write_card("oxford_pets", "mnist"), str(roots["coop"])).tasks:
        rows = task.load("test")
        assert decode_images(rows, 32).shape == (len(rows), 3, 32, 32)
