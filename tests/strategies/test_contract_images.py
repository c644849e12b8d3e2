"""What strategies must do with images of several kinds and a head a task."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from tests.strategies.cut_runs import Killed, passes_of, run
from tests.strategies.part_cells import PARTS, entry
from tests.tiny_images import write_stream

from clbench.benchmarks.engine.cell import Cell
from clbench.benchmarks.engine.suite import load_suite
from clbench.contracts.updating import handled_kinds
from clbench.core.errors import ConfigError
from clbench.core.registry import STRATEGIES
from clbench.spec.ledger import read_ledger, task_scores

HERE = Path(__file__).parents[1]
OF_ALL_KINDS = [
    "finetune",
    "lora",
    "o-lora",
    "codyra",
    "osft",
    "peft",
    "mos",
    "snella",
    "eggroll",
    "si",
    "wise-ft",
    "joint",
    "per-task",
    "head-only",
    "telly",
    "vpt",
    "tap-slf",
    "weight-average",
    "ties",
    "magmax",
    {"name": "opcm", "control": "mean"},
    "do-merging",
    {"name": "tap-slf", "sharing": "both", "deep": True, "enter": "top", "augment": False},
    {"name": "tap-slf", "training": "joint", "uncertainty": True, "sampling": "root"},
]
STARTING_ANEW = [
    "joint",
    "per-task",
    {"name": "tap-slf", "training": "joint"},
    {"name": "tap-slf", "training": "joint", "sharing": "both", "deep": True, "uncertainty": True},
    {"name": "vpt", "training": "joint"},
    {"name": "telly", "training": "joint"},
    {"name": "head-only", "training": "joint", "augment": False},
]
LEARNING = [
    item.name
    for item in STRATEGIES.listings()
    if item.module.startswith("clbench.") and "learn" in handled_kinds(STRATEGIES.get(item.name).value)
]
OF_CLASSES = ["ewc", "lwf", "mas", "replay", "der"]


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three tasks of three kinds."""
    return write_stream(tmp_path_factory.mktemp("images"), str(HERE / "tiny_vit.py"), ("disc", "tone", "box"))


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two tasks of classes."""
    return write_stream(tmp_path_factory.mktemp("classes"), str(HERE / "tiny_vit.py"), ("tone", "shade"))


def cell_of(stream: str, folder: Path, strategy: object, steps: int = 2) -> Cell:
    """The only cell of a suite over the stream."""
    values = {"streams": [stream], "strategies": [strategy], "budget": {"steps": steps, "batch_size": 4}}
    (folder / "suite.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    return load_suite(str(folder / "suite.yaml")).cells[0]


@pytest.mark.parametrize("strategy", OF_ALL_KINDS, ids=str)
def test_images_of_all_kinds_are_learnt_and_resumed_exactly(strategy: object, stream: str, tmp_path: Path) -> None:
    _same_when_cut(cell_of(stream, tmp_path, strategy), tmp_path, versions=3)


@pytest.mark.parametrize("strategy", STARTING_ANEW, ids=str)
def test_the_last_version_does_not_need_the_others(strategy: object, stream: str, tmp_path: Path) -> None:
    cell = cell_of(stream, tmp_path, strategy)
    whole, alone = run(cell, tmp_path / "whole"), run(replace(cell, last_only=True), tmp_path / "alone")
    assert alone.record(1).digest != whole.record(1).digest  # not made
    assert alone.record(3).digest == whole.record(3).digest
    assert alone.rows(3).equals(whole.rows(3))


@pytest.mark.parametrize("strategy", OF_CLASSES)
def test_avalanches_methods_on_tasks_of_classes(strategy: str, classes: str, tmp_path: Path) -> None:
    _same_when_cut(cell_of(classes, tmp_path, strategy), tmp_path, versions=2)


@pytest.mark.parametrize("tasks", ["classes", "stream"])
@pytest.mark.parametrize("name", LEARNING)
def test_every_strategy_trains_or_is_refused_before_training(
    name: str, tasks: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    refused = ""
    try:
        run(cell_of(request.getfixturevalue(tasks), tmp_path, name, steps=1), tmp_path / "cell")
    except ConfigError as error:
        refused = str(error)
    trained = (tmp_path / "cell" / "versions" / "0001").exists()
    assert trained == (not refused), refused
    assert "\n" not in refused


@pytest.mark.parametrize(("slot", "part"), PARTS)
def test_parts_on_tasks_of_classes_with_heads(slot: str, part: str, classes: str, tmp_path: Path) -> None:
    _same_when_cut(cell_of(classes, tmp_path, entry("finetune", slot, part), steps=3), tmp_path, versions=2)


@pytest.mark.parametrize("part", ["ewc", "si", "l2"])
def test_penalties_of_weights_on_images_of_all_kinds(part: str, stream: str, tmp_path: Path) -> None:
    _same_when_cut(cell_of(stream, tmp_path, entry("finetune", "penalty", part)), tmp_path, versions=3)


@pytest.mark.parametrize(("slot", "part"), [("memory", "craig"), ("penalty", "lwf"), ("penalty", "mas")])
def test_parts_that_need_scores_refuse_other_images(slot: str, part: str, stream: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{slot} .*task 'disc': wanted .* got segmentation"):
        run(cell_of(stream, tmp_path, entry("finetune", slot, part)), tmp_path / "cell")


def _same_when_cut(cell: Cell, folder: Path, versions: int) -> None:
    straight = run(cell, folder / "straight")
    for version in range(1, versions):
        with pytest.raises(Killed):
            run(cell, folder / "cut", stop_after=version)
    cut = run(cell, folder / "cut")
    assert read_ledger(cut.path / "ledger.parquet").equals(read_ledger(straight.path / "ledger.parquet"))
    digests = [straight.record(version).digest for version in range(versions + 1)]
    assert [cut.record(version).digest for version in range(versions + 1)] == digests
    assert passes_of(cut) == passes_of(straight)
    assert len(set(digests)) == versions + 1
    numbers = [straight.record(version).numbers["update/drift"] for version in range(versions + 1)]
    assert numbers[0] == 0
    assert [cut.record(version).numbers["update/drift"] for version in range(versions + 1)] == pytest.approx(numbers)


def test_a_task_is_tested_from_its_coming_on(stream: str, tmp_path: Path) -> None:
    rows = read_ledger(run(cell_of(stream, tmp_path, "head-only"), tmp_path / "cell").path / "ledger.parquet")
    tested = task_scores(rows, "task-id")
    assert set(tested) == {(v, name) for v in (1, 2, 3) for name in ("disc", "tone", "box")[:v]}
    # The backbone stays as it is and no other strategy trains a head, so answers never change.
    for (version, name), score in tested.items():
        assert score == tested[("disc", "tone", "box").index(name) + 1, name], (version, name)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["finetune", "tap-slf"])
def test_discs_are_found(strategy: str, tmp_path: Path) -> None:
    stream = write_stream(tmp_path, str(HERE / "tiny_vit.py"))
    cell = cell_of(stream, tmp_path, {"name": strategy, "head_lr": 5e-3, "lr": 1e-3}, steps=120)
    with pytest.raises(Killed):
        run(cell, tmp_path / "cell", stop_after=1)
    from clbench.benchmarks.engine.cell_folder import CellFolder

    assert task_scores(CellFolder(tmp_path / "cell").rows(1), "task-id")[1, "disc"] > 0.8
