"""What every registered strategy must do; the tests walk the registry."""

from collections.abc import Callable
from pathlib import Path

import pyarrow.compute as pc
import pytest
from tests.strategies.cut_runs import FOR_TASKS, Killed, passes_of, run

from clbench.benchmarks.engine.cell import Cell
from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.benchmarks.engine.suite import load_suite
from clbench.core.errors import ConfigError
from clbench.spec.ledger import read_ledger, task_scores

MORE_STEPS = {"eggroll": 800}
"""Steps for strategies that do not compute gradients, which learn far less from a step."""


def one_cell(path: str) -> Cell:
    """The only cell of a suite."""
    return load_suite(path).cells[0]


@pytest.mark.parametrize("name", FOR_TASKS)
def test_same_seed_same_ledger_and_resume_changes_nothing(
    name: str, write_suite: Callable[..., str], tmp_path: Path
) -> None:
    cell = one_cell(write_suite(name))
    straight = run(cell, tmp_path / "straight")
    for version in (1, 2):
        with pytest.raises(Killed):
            run(cell, tmp_path / "cut", stop_after=version)
    cut = run(cell, tmp_path / "cut")
    assert read_ledger(cut.path / "ledger.parquet").equals(read_ledger(straight.path / "ledger.parquet"))
    assert [cut.record(v).digest for v in range(4)] == [straight.record(v).digest for v in range(4)]
    assert passes_of(cut) == passes_of(straight)
    results = [folder.result(cell.load_stream()) for folder in (cut, straight)]
    assert results[0].protocols == results[1].protocols


@pytest.mark.parametrize("name", [name for name in FOR_TASKS if name != "zero-shot"])
def test_it_learns_its_first_task(name: str, write_suite: Callable[..., str], tmp_path: Path) -> None:
    steps = MORE_STEPS.get(name, 60)
    path = write_suite({"name": name, "lr": 3e-3}, budget={"steps": steps, "batch_size": 12})
    with pytest.raises(Killed):
        run(one_cell(path), tmp_path / "cell", stop_after=1)
    scores = task_scores(CellFolder(tmp_path / "cell").rows(1), "task-id")
    assert scores[1, "one"] > 0.9


@pytest.mark.parametrize("name", FOR_TASKS)
def test_unknown_settings_are_refused(name: str, write_suite: Callable[..., str]) -> None:
    with pytest.raises(ConfigError, match=f"strategy {name}: unknown setting 'no_such_setting'"):
        load_suite(write_suite({"name": name, "no_such_setting": 1}))


@pytest.mark.parametrize("name", FOR_TASKS)
def test_another_seed_is_another_run_of_the_same_shape(
    name: str, write_suite: Callable[..., str], tmp_path: Path
) -> None:
    one, two = (
        read_ledger(run(cell, tmp_path / str(cell.seed)).path / "ledger.parquet")
        for cell in load_suite(write_suite(name, seeds=[0, 1])).cells
    )
    for column in ("version", "protocol", "task", "sample_id", "target"):
        assert one[column] == two[column]
    assert not pc.all(pc.equal(one["confidence"], two["confidence"])).as_py()  # the tiny learner's weights are random


def test_zero_shot_never_changes(write_suite: Callable[..., str], tmp_path: Path) -> None:
    folder = run(one_cell(write_suite("zero-shot")), tmp_path / "cell")
    rows = [folder.rows(version).drop_columns("version") for version in range(4)]
    assert all(other.equals(rows[0]) for other in rows)


def test_only_the_newest_version_keeps_its_weights(write_suite: Callable[..., str], tmp_path: Path) -> None:
    folder = run(one_cell(write_suite("finetune")), tmp_path / "cell")
    kept = [path.parent.name for path in tmp_path.rglob("weights.safetensors")]
    assert kept == [folder.record(3).key]
