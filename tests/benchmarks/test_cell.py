"""What makes two cells the same: settings, code, data and weights, and not where they lie."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from clbench.benchmarks.engine.cell import READERS, Cell, _data_digest, engine_digest, engine_file, loader_digests
from clbench.benchmarks.engine.suite import load_suite
from clbench.core.cards import STREAM_CARDS
from clbench.core.registry import LOADERS
from clbench.core.sources import source_files
from clbench.streams.card import read_card


@pytest.fixture
def build(tiny: Any, write_suite: Callable[..., str], tmp_path: Path) -> Callable[..., Cell]:
    """The cell of a copy of the tiny stream, of which the data are in `place`."""

    def one(place: str = "copy", strategy: str = "finetune", **settings: Any) -> Cell:
        folder = tmp_path / place
        if not folder.exists():
            shutil.copytree(tiny.folder, folder)
        return load_suite(write_suite(strategy, streams=[str(folder / "tiny.yaml")], **settings)).cells[0]

    return one


def test_the_place_of_files_does_not_matter(build: Callable[..., Cell], tmp_path: Path) -> None:
    one = build("here")
    assert one.key == build("there").key
    assert one.names[0] == "tiny"
    assert one.title.startswith("tiny / tiny")


def test_other_data_are_another_cell(build: Callable[..., Cell], tmp_path: Path) -> None:
    before = build().digest
    data = tmp_path / "copy" / "data"
    assert build().digest == before
    (data / "one" / "validation.parquet").write_bytes((data / "one" / "test.parquet").read_bytes())
    assert build().digest == before  # neither trained on nor tested
    (data / "one" / "train.parquet").write_bytes((data / "one" / "test.parquet").read_bytes())
    assert build().digest != before


def test_another_card_seed_or_split_is_another_cell(build: Callable[..., Cell], tmp_path: Path) -> None:
    card = tmp_path / "copy" / "tiny.yaml"
    found = {build().digest, build(seeds=[1]).digest, build(split="validation").digest, build(skip_broken=True).digest}
    card.write_text(yaml.safe_dump({**yaml.safe_load(card.read_text()), "protocols": ["union"]}))
    found.add(build().digest)
    assert len(found) == 5


def test_other_prompts_or_classes_are_another_cell(build: Callable[..., Cell]) -> None:
    cell = build()
    stream = cell.load_stream()
    digests = {_data_digest(stream, "test")}
    for changed in ({"templates": ("the {}",)}, {"classes": ("x", "y", "z")}):
        tasks = (replace(stream.tasks[0], **changed), *stream.tasks[1:])
        digests.add(_data_digest(replace(stream, tasks=tasks), "test"))
    assert len(digests) == 3


def test_a_file_of_weights_counts_by_what_is_in_it(build: Callable[..., Cell], tmp_path: Path) -> None:
    digests = []
    for place, content in (("x", b"1"), ("y", b"1"), ("z", b"2")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "clip.safetensors").write_bytes(content)
        cell = build(learners=[f"open_clip:ViT-B-16/{tmp_path / place / 'clip.safetensors'}"])
        assert cell.names[1] == "open_clip:ViT-B-16/clip.safetensors"
        digests.append(cell.digest)
    assert digests[0] == digests[1] != digests[2]


def test_the_code_that_decides_a_result_is_in_the_hash() -> None:
    """An edited evaluator or seeding module must not leave old results as "kept"."""
    root = Path(str(files("clbench")))
    engine = source_files(engine_file(), "clbench", READERS)
    for name in (
        *("benchmarks/engine/samples.py", "benchmarks/engine/frozen_features.py", "benchmarks/evaluation/evaluator.py"),
        *("core/seeding.py", "contracts/strategy.py", "contracts/learner.py", "scoring/text/answers.py"),
        *("kinds/_task_kind.py", "spec/ledger.py"),
    ):
        assert (root / name).resolve() in engine, name
    assert not [file for file in engine if {"reports", "cli"} & set(file.parts)]
    decoding = (root / "kinds" / "_image_kind.py").resolve()
    assert decoding in source_files(root / "learners" / "mini_vit" / "__init__.py", "clbench")
    assert decoding in source_files(root / "streams" / "loaders" / "fmc_uia.py", "clbench")


def test_the_code_of_the_kinds_of_tasks_is_in_the_hash(write_suite: Callable[..., str]) -> None:
    """With the scorers that a kind takes; kinds that a stream does not have leave its results as they are."""
    root = Path(str(files("clbench")))
    assert root / "scoring/images/segmentation.py" in source_files(root / "kinds/segmentation.py", "clbench")
    cell = load_suite(write_suite("finetune")).cells[0]
    assert cell.engine == engine_digest(("classification",)) != engine_digest(("classification", "segmentation"))
    assert cell.resolved["engine"] == cell.engine[:16]


def test_a_stream_of_releases_is_known_by_the_loader_of_its_tasks_too() -> None:
    file = STREAM_CARDS.get("update-mini")
    own, based_on = loader_digests(read_card(file.values, file.path))
    assert own == LOADERS.digest("releases")[:16]
    assert based_on == LOADERS.digest("text-parquet")[:16]
