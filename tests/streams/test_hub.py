"""Copies on the hub: the same calls on a folder in the hub's format."""

import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clbench.core.errors import DataError
from clbench.streams.card import TaskCard, load_stream
from clbench.streams.clip_domains.image_sets.hub_sets import open_hub
from clbench.streams.clip_domains.image_sets.image_set_facts import HubCopy, ImageSetFacts, facts_of
from clbench.streams.clip_domains.image_sets.image_set_tasks import task_of_hub
from clbench.streams.clip_domains.image_sets.shots import Shots

CARD = TaskCard(name="sat", kind="classification", metric="accuracy")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def copy(tmp_path: Path, offline: None) -> Path:
    """A data set as the hub has it: Parquet files named by split, an Image and a ClassLabel column and one more."""
    from datasets import ClassLabel, Dataset, Features, Value
    from datasets import Image as ImageFeature

    folder = tmp_path / "eurosat-copy"
    (folder / "data").mkdir(parents=True)
    label = ClassLabel(names=["AnnualCrop", "River", "SeaLake"])
    features = Features({"pic": ImageFeature(), "kind": label, "id": Value("string")})
    for split, count in {"train": 12, "test": 6}.items():
        rows = [{"pic": {"bytes": png(row), "path": None}, "kind": row % 3, "id": str(row)} for row in range(count)]
        Dataset.from_list(rows, features=features).to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")
    return folder


def png(row: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), row, dtype=np.uint8)).save(buffer, "png")
    return buffer.getvalue()


def facts_with(**hub: Any) -> ImageSetFacts:
    values = {"image": "pic", "label": "kind", "splits": {"train": "train", "test": "test"}, **hub}
    return facts_of("eurosat").model_copy(update={"hub": HubCopy(**values)})


def test_a_copy_is_read_with_our_class_names(copy: Path) -> None:
    task = task_of_hub(CARD, open_hub("eurosat", facts_with(repo=str(copy))), "torchvision", None)
    assert task.classes == ("annual crop land", "river", "lake or sea")
    rows = task.load("test")
    assert set(rows.column_names) == {"sample_id", "image", "label"}
    assert rows["sample_id"][:] == [f"sat/test/{row:05d}" for row in range(6)]
    assert rows["label"][:] == [0, 1, 2] * 2
    assert rows.features["label"].names == list(task.classes)
    assert [image.getpixel((0, 0))[0] for image in rows["image"]] == list(range(6))


def test_shots_of_a_copy(copy: Path) -> None:
    found = open_hub("eurosat", facts_with(repo=str(copy)))
    tasks = [task_of_hub(CARD, found, "coop", Shots(2, seed, repeat=False)) for seed in (0, 0, 5)]
    rows = [task.load("train") for task in tasks]
    assert Counter(rows[0]["label"]) == {0: 2, 1: 2, 2: 2}
    assert rows[0]["sample_id"][:] == rows[1]["sample_id"][:] != rows[2]["sample_id"][:]
    assert tasks[0].fingerprint("train") == tasks[1].fingerprint("train") != tasks[2].fingerprint("train")
    assert tasks[0].fingerprint("test") == tasks[2].fingerprint("test") != tasks[0].fingerprint("train")
    repeated = task_of_hub(CARD, found, "coop", Shots(6, 0, repeat=True)).load("train")
    assert len(set(repeated["sample_id"])) == 18


def test_the_commit_is_in_the_fingerprint(copy: Path) -> None:
    prints = set()
    for revision in ("a" * 40, "b" * 40):
        found = open_hub("eurosat", facts_with(repo=str(copy), revision=revision))
        prints.add(task_of_hub(CARD, found, "torchvision", None).fingerprint("test"))
    assert len(prints) == 2


@pytest.mark.parametrize(
    ("hub", "message"),
    [
        ({"label": "id"}, "column 'id' of {copy} has no class names (wanted a ClassLabel)"),
        ({"splits": {"train": "train", "test": "validation"}}, "hub data set {copy}: cannot be read"),
        ({"repo": "/nowhere/at/all"}, "hub data set /nowhere/at/all: cannot be read"),
    ],
)
def test_a_copy_that_does_not_fit(copy: Path, hub: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        open_hub("eurosat", facts_with(**{"repo": str(copy), **hub}))
    assert message.format(copy=copy) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_part_that_the_copy_lacks(copy: Path) -> None:
    found = open_hub("eurosat", facts_with(repo=str(copy)))
    with pytest.raises(DataError, match=r"has no part 'validation' \(it has train, test\)"):
        task_of_hub(CARD, found, "coop", None).load("validation")


def test_sets_without_a_copy_are_named(write_card: Callable[..., str]) -> None:
    with pytest.raises(DataError, match=r"no copy on the hub is known of aircraft \(wanted --root DIR\)"):
        load_stream(write_card("mnist", "aircraft"), "hub")


def test_the_stream_asks_the_hub(copy: Path, write_card: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clbench.streams.loaders.image_sets.facts_of", lambda name: facts_with(repo=str(copy)))
    stream = load_stream(write_card("eurosat", shots=1), "hub", 3)
    assert len(stream.tasks[0].load("train")) == 3
    copies: Any = stream.card["hub"]
    assert copies["eurosat"]["repo"] == str(copy)
    assert copies["eurosat"]["commit"]
