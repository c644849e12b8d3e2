"""Cells in which a model learns and is then compressed: branches, chains, kill and resume, what is recorded."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.benchmarks.stored_versions import stored
from tests.strategies.compressed import VIT
from tests.strategies.cut_runs import Killed, run
from tests.strategies.update_streams import CLIP
from tests.tiny_images import write_stream

from clbench.benchmarks.engine.cell import Cell
from clbench.benchmarks.engine.suite import load_suite
from clbench.core.checkpoints import load_tree
from clbench.core.errors import ConfigError
from clbench.spec.ledger import read_ledger

LEARNT: list[dict[str, object]] = [{"learn": "one"}, {"learn": "two"}]
UPDATES: dict[str, list[dict[str, object]]] = {
    "quantize": [
        {"compress": {"bits": 8}},
        {"compress": {"bits": 4}},
        {"compress": {"bits": 4}, "name": "4 bits at once", "parent": "two"},
    ],
    "prune": [
        {"compress": {"sparsity": 0.25}},
        {"compress": {"sparsity": 0.5}},
        {"compress": {"sparsity": 0.5}, "name": "half at once", "parent": "two"},
    ],
}
SETTINGS: dict[str, dict[str, Any]] = {
    "quantize": {"bias_correction": True, "allocate": "random", "widths": [2, 4, 8]},
    "prune": {"rule": "wanda", "allocate": "random"},
}


def cell_of(base: str, learner: str, folder: Path, updates: Sequence[dict[str, object]], entry: Any) -> Cell:
    """The only cell of a suite on a stream of such updates."""
    names = dict.fromkeys(str(update["learn"]) for update in updates if "learn" in update)
    card = {
        "name": "tiny-life",
        "description": "Learns, then is compressed.",
        "loader": "based-on",
        "based_on": base,
        "learner": learner,
        "protocols": ["task-id"],
        "order_reason": "none",
        "tasks": [{"name": name, "kind": "classification", "metric": "accuracy"} for name in names],
        "updates": list(updates),
    }
    (folder / "life.yaml").write_text(yaml.safe_dump(card), "utf-8")
    budget = {"steps": 4, "batch_size": 8}
    suite = {"streams": [str(folder / "life.yaml")], "strategies": [entry], "budget": budget}
    (folder / "suite.yaml").write_text(yaml.safe_dump(suite), "utf-8")
    (cell,) = load_suite(str(folder / "suite.yaml")).cells
    return cell


def entry_of(name: str, **settings: Any) -> dict[str, Any]:
    return {"learn": "finetune", "compress": {"name": name, **settings}}


@pytest.mark.parametrize("name", ["quantize", "prune"])
def test_a_kill_after_any_version_changes_nothing(name: str, tiny: Any, tmp_path: Path) -> None:
    cell = cell_of(tiny.stream, CLIP, tmp_path, LEARNT + UPDATES[name], entry_of(name, **SETTINGS[name]))
    straight = run(cell, tmp_path / "straight")
    for version in range(1, 5):
        with pytest.raises(Killed):
            run(cell, tmp_path / "cut", stop_after=version)
    cut = run(cell, tmp_path / "cut")
    assert read_ledger(cut.path / "ledger.parquet").equals(read_ledger(straight.path / "ledger.parquet"))
    for version in range(6):
        one, other = cut.record(version), straight.record(version)
        assert one.digest == other.digest
        numbers = [
            {key: value for key, value in record.numbers.items() if key.startswith(("compress/", "calibration/"))}
            for record in (one, other)
        ]
        assert numbers[0] == numbers[1]
        assert bool(numbers[0]) == (version > 2)


@pytest.mark.parametrize("name", ["quantize", "prune"])
def test_chains_and_branches_count_the_bytes_of_their_parent(name: str, tiny: Any, tmp_path: Path) -> None:
    folder = run(cell_of(tiny.stream, CLIP, tmp_path, LEARNT + UPDATES[name], entry_of(name)), tmp_path / "cell")
    first, second, at_once = (folder.record(version).numbers for version in (3, 4, 5))
    assert first["compress/bytes"] < first["compress/bytes_parent"] == at_once["compress/bytes_parent"]
    assert second["compress/bytes_parent"] == first["compress/bytes"] > second["compress/bytes"]
    assert second["compress/bytes"] == at_once["compress/bytes"]
    assert first["calibration/samples"] == 48  # both tasks have 24
    state: Any = load_tree(stored(folder.path, folder.path, 5) / "strategy" / "compress")
    assert set(state["allocation"].values()) == {4 if name == "quantize" else 0.5}


def test_frozen_blocks_are_compressed_as_well(tmp_path: Path) -> None:
    """Their cached outputs are those of the weights before; calibration must not read them."""
    base = write_stream(tmp_path, VIT, ("tone", "shade"))
    updates: list[dict[str, object]] = [{"learn": "tone"}, {"learn": "shade"}, {"compress": {"sparsity": 0.5}}]
    entry = {"learn": {"name": "head-only", "augment": False}, "compress": {"name": "prune", "rule": "wanda"}}
    folder = run(cell_of(base, VIT, tmp_path, updates, entry), tmp_path / "cell")
    assert folder.record(3).numbers["compress/mse"] > 0


def test_a_model_that_has_learnt_nothing_is_compressed_without_samples(tiny: Any, tmp_path: Path) -> None:
    updates: list[dict[str, object]] = [{"compress": {"bits": 4}}, {"learn": "one", "parent": "pre-trained"}]
    folder = run(cell_of(tiny.stream, CLIP, tmp_path, updates, entry_of("quantize")), tmp_path / "cell")
    assert folder.record(1).numbers["calibration/samples"] == 0
    with pytest.raises(ConfigError, match="bias_correction needs calibration samples, got no task that was learnt"):
        run(cell_of(tiny.stream, CLIP, tmp_path, updates, entry_of("quantize", bias_correction=True)), tmp_path / "2")


def test_budgets_are_refused_before_anything_is_learnt(tiny: Any, tmp_path: Path) -> None:
    updates: list[dict[str, object]] = [*LEARNT, {"compress": {"bytes": 1000}}]
    with pytest.raises(ConfigError, match=r"strategy quantize: the budget must be at least [\d,]+ bytes"):
        run(cell_of(tiny.stream, CLIP, tmp_path, updates, entry_of("quantize")), tmp_path / "cell")
    assert not (tmp_path / "cell" / "versions").exists()
