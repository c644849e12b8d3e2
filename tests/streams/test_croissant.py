"""Croissant of shipped streams: read back by MLCommons' own library where it is installed."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from clbench.core.cards import STREAM_CARDS
from clbench.core.errors import ConfigError
from clbench.streams.card import load_stream, read_card
from clbench.streams.croissant import croissant_of

SHIPPED = ["clip-mini", "text-open", "ultrasound-mini"]
STREAMS = Path(__file__).parents[2] / "streams"


def data_of(name: str) -> Path:
    file = STREAM_CARDS.get(name)
    return file.path.parent / str(file.values["data"])


@pytest.mark.parametrize("name", SHIPPED)
def test_every_file_of_the_data_is_described(name: str) -> None:
    found = croissant_of(name)
    folder = data_of(name)
    files = {item["contentUrl"]: item for item in found["distribution"]}
    assert set(files) == {path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet")}
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize("name", SHIPPED)
def test_every_column_is_a_field_and_classes_are_those_of_the_tasks(name: str) -> None:
    sets = {item["@id"]: item for item in croissant_of(name)["recordSet"]}
    for task in load_stream(name).tasks:
        for split in ("train", "validation", "test"):
            schema = pq.read_schema(data_of(name) / task.name / f"{split}.parquet")
            assert [field["name"] for field in sets[f"{task.name}/{split}"]["field"]] == schema.names
        if task.kind == "classification":
            rows = sets[f"{task.name}/classes"]["data"]
            assert tuple(row[f"{task.name}/classes/name"] for row in rows) == task.classes


def test_a_stream_on_the_tasks_of_another_describes_what_it_uses() -> None:
    found = croissant_of("update-mini")
    assert found["name"] == "update-mini"
    assert {item["contentUrl"].partition("/")[0] for item in found["distribution"]} == {"factbook", "topic", "nouns"}


def test_data_that_do_not_ship_are_refused() -> None:
    with pytest.raises(ConfigError, match="stream xtail: its data do not ship with clbench"):
        croissant_of("xtail")


def test_all_streams_whose_data_ship_are_described() -> None:
    for name in STREAM_CARDS.names():
        file = STREAM_CARDS.get(name)
        card = read_card(file.values, file.path)
        if card.data or (card.based_on or "").endswith("-mini"):
            assert croissant_of(name)["distribution"], name


@pytest.mark.parametrize("name", SHIPPED)
def test_mlcommons_library_reads_every_row(name: str, tmp_path: Path) -> None:
    mlcroissant: Any = pytest.importorskip("mlcroissant")
    shutil.copytree(data_of(name), tmp_path / "data")
    card = tmp_path / "data" / "croissant.json"
    card.write_text(json.dumps(croissant_of(name)), encoding="utf-8")
    dataset = mlcroissant.Dataset(str(card))  # raises what is not valid, and compares checksums
    task = next(task for task in load_stream(name).tasks if task.kind == "classification")
    rows = list(dataset.records(f"{task.name}/test"))
    ours = task.load("test")
    assert [row[f"{task.name}/test/sample_id"].decode() for row in rows] == ours["sample_id"]
    assert [row[f"{task.name}/test/label"] for row in rows] == ours["label"]
    if name == "ultrasound-mini":
        (first, *_) = dataset.records("fetal_femur/test")
        assert len(first["fetal_femur/test/points"]) == 2
