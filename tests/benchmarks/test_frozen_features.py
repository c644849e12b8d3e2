"""What frozen blocks make of images is computed once, and nobody can tell from the numbers."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tests.strategies.cut_runs import passes_of, run
from tests.tiny_images import write_stream
from torch import Tensor

from clbench.benchmarks.engine import frozen_features
from clbench.benchmarks.engine.frozen_features import Continued, FrozenFeatureCache
from clbench.benchmarks.engine.suite import load_suite
from clbench.contracts import Batch, Samples, Split, Stream, Task
from clbench.core.registry import LEARNERS
from clbench.learners._vit.vit_learner import VitLearner
from clbench.spec.ledger import read_ledger
from clbench.streams.card import load_stream

LEARNER = str(Path(__file__).parents[1] / "tiny_vit.py")


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_stream(tmp_path_factory.mktemp("images"), LEARNER, ("disc", "tone", "box"))


@pytest.fixture(scope="module")
def stream(card: str) -> Stream:
    return load_stream(card)


def kept_of(stream: Stream, folder: Path, blocks: int = 2) -> tuple[VitLearner, FrozenFeatureCache, dict[str, int]]:
    """FrozenFeatureCache on a tiny learner, and how many images went through its blocks."""
    learner = LEARNERS.get(LEARNER).value("dinov3", seed=0)
    assert isinstance(learner, VitLearner)
    counted = {"images": 0}
    original = learner.prefix

    def prefix(batch: Batch, blocks: int) -> Batch:
        counted["images"] += len(batch["image"])
        return original(batch, blocks)

    learner.prefix = prefix  # type: ignore[method-assign]
    encoded: dict[tuple[str, Split], Samples] = {}

    def samples(task: Task, split: Split) -> Samples:
        if (task.name, split) not in encoded:
            encoded[task.name, split] = learner.encode(task.load(split), task)
        return encoded[task.name, split]

    return learner, FrozenFeatureCache(samples, learner, lambda task, split: blocks, folder), counted


@pytest.mark.parametrize(
    "strategy",
    [
        {"name": "telly", "augment": False},
        {"name": "telly"},
        {"name": "tap-slf", "enter": "top", "augment": False},
        {"name": "tap-slf", "share": 0.5, "training": "joint", "augment": False},
        {"name": "head-only", "augment": False},
    ],
    ids=str,
)
def test_kept_or_not_the_ledger_is_the_same_to_the_bit(
    strategy: dict[str, Any], card: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"streams": [card], "strategies": [strategy], "budget": {"steps": 2, "batch_size": 4}}
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    cell = load_suite(str(tmp_path / "suite.yaml")).cells[0]
    kept = run(cell, tmp_path / "kept")
    monkeypatch.setattr(frozen_features, "SHARE", 0)
    anew = run(cell, tmp_path / "anew")
    assert read_ledger(kept.path / "ledger.parquet").equals(read_ledger(anew.path / "ledger.parquet"))
    assert [kept.record(v).digest for v in range(4)] == [anew.record(v).digest for v in range(4)]
    assert passes_of(kept) == passes_of(anew)


@pytest.mark.parametrize("where", ["memory", "disk", "nowhere"])
def test_a_prefix_is_the_same_wherever_it_is_kept(
    where: str, stream: Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner, found, counted = kept_of(stream, tmp_path)
    if where == "nowhere":
        monkeypatch.setattr(frozen_features, "SHARE", 0)
    elif where == "disk":
        monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 0}))
    task = stream.tasks[0]
    samples = found(task, "test")
    assert isinstance(samples, Continued) == (where == "nowhere")
    wanted = learner.prefix({"image": samples.tensors["image"]}, 2)["prefix.2"]
    for index in (slice(0, 5), torch.tensor([6, 0, 3])):
        assert torch.equal(samples.batch(index)["prefix.2"], wanted[index])
    if where != "nowhere":
        before = counted["images"]
        assert found(task, "test") is samples
        assert counted["images"] == before


def test_prefixes_of_other_weights_are_let_go(stream: Stream, tmp_path: Path) -> None:
    learner, found, counted = kept_of(stream, tmp_path)
    task = stream.tasks[0]
    first: Tensor = found(task, "test").tensors["prefix.2"]
    with torch.no_grad():
        learner.module.get_parameter("backbone.blocks.3.mlp.fc1.weight").add_(1.0)  # above the prefix
    found.weights_have_changed()
    assert found(task, "test").tensors["prefix.2"] is first
    with torch.no_grad():
        learner.module.get_parameter("backbone.blocks.1.mlp.fc1.weight").add_(1.0)
    found.weights_have_changed()
    assert not torch.allclose(found(task, "test").tensors["prefix.2"], first)
    assert counted["images"] == 14


def test_nothing_is_added_without_frozen_blocks(stream: Stream, tmp_path: Path) -> None:
    _, found, counted = kept_of(stream, tmp_path, blocks=0)
    assert "prefix.0" not in found(stream.tasks[0], "test").tensors
    assert counted["images"] == 0
