"""Intermediate results: what several strategies compute alike is computed once, on disk, and changes nothing."""

import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.benchmarks.test_store_damage import cut, empty, flip
from tests.command import Command

from clbench.benchmarks.clock import Price
from clbench.benchmarks.engine.cell import Cell
from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.benchmarks.engine.execution import CellRun, workplace_in
from clbench.benchmarks.engine.store_contents import clean, contents
from clbench.benchmarks.engine.suite import load_suite
from clbench.benchmarks.engine.version_keys import VersionKey
from clbench.benchmarks.engine.version_store import StoredIntermediate, VersionStore
from clbench.contracts import Task
from clbench.core.errors import CheckpointError
from clbench.spec.ledger import read_ledger
from clbench.strategies._training.gradient import GradientTraining

CPU = torch.device("cpu")
FULL = ["weight-average", "dare", "opcm"]
KEY = VersionKey("a" * 24, {"kind": "learn", "update": {"task": "one"}})
TREE = {"tuned": {"w": torch.arange(3.0)}, "numbers": {"loss": 0.1}}


def run(cell: Cell, out: Path, fresh: bool = False) -> CellFolder:
    """Run a cell with nothing in memory, as a process of its own would."""
    folder = CellFolder(out / "suite" / cell.key)
    CellRun(cell, folder, workplace_in(out, CPU, fresh), lambda doing, step, total: None).run(lambda version: None)
    return folder


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the tasks that are trained from now on."""
    trained: list[str] = []
    train = GradientTraining._train

    def counted(self: GradientTraining[Any], task: Task, total: int) -> torch.Tensor:
        trained.append(task.name)
        return train(self, task, total)

    monkeypatch.setattr(GradientTraining, "_train", counted)
    return trained


def cells_of(path: str) -> tuple[Cell, ...]:
    return tuple(load_suite(path).cells)


def test_each_task_is_trained_once_and_results_are_the_same_to_the_bit(
    write_suite: Callable[..., str], tmp_path: Path, trainings: list[str]
) -> None:
    cells = cells_of(write_suite(*FULL, {"name": "ties", "control": "permuted"}))
    apart = [run(cell, tmp_path / cell.key) for cell in cells]
    assert trainings == ["one", "two", "three"] * len(cells)
    trainings.clear()
    together = [run(cell, tmp_path / "together") for cell in cells]
    assert trainings == ["one", "two", "three"]
    for one, two in zip(apart, together, strict=True):
        assert read_ledger(one.path / "ledger.parquet").equals(read_ledger(two.path / "ledger.parquet"))
        for version in range(4):
            assert one.record(version).digest == two.record(version).digest
            told = [
                {name: x for name, x in folder.record(version).numbers.items() if not name.startswith(("sec", "mem"))}
                for folder in (one, two)
            ]
            assert told[0] == told[1]
    assert len({folder.record(3).digest for folder in together}) == len(cells)


def test_costs_count_the_training_in_every_cell(write_suite: Callable[..., str], tmp_path: Path) -> None:
    cells = cells_of(write_suite("weight-average", "task-arithmetic", budget={"steps": 40, "batch_size": 8}))
    first, second = (run(cell, tmp_path) for cell in cells)
    for version in (1, 2, 3):
        own, other = (folder.record(version).numbers for folder in (first, second))
        assert other["seconds/train"] > 0.5 * own["seconds/train"]
        assert other["seconds/taken_over"] > 0.5 * own["seconds/train"]
        assert other["seconds/decode"] == pytest.approx(own["seconds/decode"])


def test_only_equal_trainings_are_shared(write_suite: Callable[..., str], tmp_path: Path, trainings: list[str]) -> None:
    for cell in cells_of(write_suite("weight-average", {"name": "ties", "lr": 0.01}, seeds=[0, 1])):
        run(cell, tmp_path)
    assert trainings == ["one", "two", "three"] * 4
    trainings.clear()
    others: tuple[Any, ...] = ("magmax", "knots", {"name": "do-merging", "orthogonalize": False}, "weight-average")
    for cell in cells_of(write_suite(*others)):
        run(cell, tmp_path)
    # The chain shares its first task, which starts from version 0; the two methods for LoRA share all.
    assert trainings == ["two", "three", "one", "two", "three"]
    trainings.clear()
    for cell in cells_of(write_suite({"name": "magmax", "start_from": "pretrained"}, {"name": "opcm", "head_lr": 0.1})):
        run(cell, tmp_path)
    assert trainings == ["one", "two", "three"]


def test_a_strategy_that_trains_otherwise_shares_nothing(
    write_suite: Callable[..., str], tmp_path: Path, trainings: list[str]
) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from clbench.core.registry import STRATEGIES\n"
        "from clbench.strategies._merging.merge_strategy import MergeConfig, MergeStrategy, plain\n\n\n"
        "class MineConfig(MergeConfig):\n"
        "    factor: float = 2.0\n\n\n"
        "@STRATEGIES.register('mine', config=MineConfig)\n"
        "class Mine(MergeStrategy[MineConfig]):\n"
        "    'Another loss.'\n\n"
        "    def loss(self, batch, task):\n"
        "        return self.config.factor * super().loss(batch, task)\n\n"
        "    def combine(self, tau, offset):\n"
        "        return plain(tau, tau)\n"
    )
    for cell in cells_of(write_suite("weight-average", str(mine), {"name": str(mine), "factor": 3.0})):
        run(cell, tmp_path)
    assert trainings == ["one", "two", "three"] * 3


def test_fresh_computes_again_once(write_suite: Callable[..., str], tmp_path: Path, trainings: list[str]) -> None:
    cells = cells_of(write_suite("weight-average", "opcm"))
    before = [run(cell, tmp_path).record(3).digest for cell in cells]
    shutil.rmtree(tmp_path / "suite")
    trainings.clear()
    workplace = workplace_in(tmp_path, CPU, fresh=True)
    for cell, digest in zip(cells, before, strict=True):
        folder = CellFolder(tmp_path / "suite" / cell.key)
        CellRun(cell, folder, workplace, lambda doing, step, total: None).run(lambda version: None)
        assert folder.record(3).digest == digest
    assert trainings == ["one", "two", "three"]


@pytest.mark.slow
def test_workers_side_by_side_train_once(clbench: Command, write_suite: Callable[..., str], tmp_path: Path) -> None:
    suite = write_suite("weight-average", "opcm", threads=1)
    done = clbench("run", suite, "--out", tmp_path / "out", "--workers", 2)
    assert done.returncode == 0, done.stderr
    intermediates = [item for item in contents(tmp_path / "out") if item.kind == "intermediate"]
    assert [len(item.cells) for item in intermediates] == [2, 2, 2]
    opcm = cells_of(suite)[1]
    (found,) = (path.parent for path in (tmp_path / "out" / "suite").glob("*opcm*/cell.json"))
    assert CellFolder(found).record(3).digest == run(opcm, tmp_path / "alone").record(3).digest


@pytest.mark.slow
def test_a_process_that_is_killed_while_it_makes_an_intermediate_blocks_nobody(
    write_suite: Callable[..., str], tmp_path: Path
) -> None:
    mine, mark = tmp_path / "mine.py", tmp_path / "killed"
    mine.write_text(
        "import os, pathlib, signal\n"
        "from clbench.core.registry import STRATEGIES\n"
        "from clbench.strategies._merging.merge_strategy import MergeConfig, MergeStrategy, plain\n\n\n"
        "@STRATEGIES.register('mine', config=MergeConfig)\n"
        "class Mine(MergeStrategy[MergeConfig]):\n"
        "    'Kills its process once, after the training of the second task.'\n\n"
        "    def fine_tune(self, task):\n"
        "        found = super().fine_tune(task)\n"
        f"        mark = pathlib.Path({str(mark)!r})\n"
        "        if task.name == 'two' and not mark.exists():\n"
        "            mark.touch()\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return found\n\n"
        "    def combine(self, tau, offset):\n"
        "        return plain(tau, tau)\n"
    )
    suite = write_suite(str(mine))
    command = [sys.executable, "-m", "clbench", "run", suite, "--out", str(tmp_path / "out")]
    assert subprocess.run(command, capture_output=True).returncode == -signal.SIGKILL
    assert mark.exists()
    assert len(list((tmp_path / "out" / "intermediates").glob("[!.]*"))) == 1
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (found,) = (path.parent for path in (tmp_path / "out" / "suite").glob("*/cell.json"))
    (cell,) = cells_of(suite)
    assert CellFolder(found).record(3).digest == run(cell, tmp_path / "alone").record(3).digest


def test_an_intermediate_comes_back_as_it_was_saved_and_a_second_one_waits(tmp_path: Path) -> None:
    store = VersionStore(tmp_path)
    assert store.find_intermediate(KEY) is None
    order: list[str] = []

    def second() -> None:
        with VersionStore(tmp_path).computing_intermediate(KEY):
            order.append("second" if VersionStore(tmp_path).find_intermediate(KEY) else "too early")

    waiting = threading.Thread(target=second)
    with store.computing_intermediate(KEY):
        waiting.start()
        waiting.join(0.2)
        assert clean(tmp_path, "weights") == clean(tmp_path, "unused") == 0
        store.save_intermediate(KEY, StoredIntermediate(TREE, Price(2.0, {"split": 0.25})))
        assert clean(tmp_path, "weights") == 0  # it is in use
        order.append("first")
    waiting.join(30)
    assert order == ["first", "second"]
    found = store.find_intermediate(KEY)
    assert found is not None
    assert found.price == Price(2.0, {"split": 0.25})
    assert found.tree["numbers"] == TREE["numbers"]
    tuned = found.tree["tuned"]
    assert isinstance(tuned, dict)
    assert torch.equal(tuned["w"], torch.arange(3.0))
    assert VersionStore(tmp_path, fresh=True).find_intermediate(KEY) is None


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("tree/tensors.safetensors", flip, "tensors.safetensors: missing, or changed since it was saved"),
        ("tree/tree.json", cut, "tree.json: missing, or changed since it was saved"),
        ("intermediate.json", cut, "intermediate.json: cannot be read as JSON"),
        ("intermediate.json", empty, "intermediate.json: files must be hashes by name"),
    ],
)
def test_damage_is_told_with_the_way_out(
    name: str, damage: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    VersionStore(tmp_path).save_intermediate(KEY, StoredIntermediate(TREE, Price()))
    damage(tmp_path / "intermediates" / KEY.digest / name)
    with pytest.raises(CheckpointError) as caught:
        VersionStore(tmp_path).find_intermediate(KEY)
    assert message in str(caught.value)
    assert str(caught.value).endswith(f"; remove the folder {KEY.digest}, and it is computed again")


def test_intermediates_are_listed_and_cleaned(
    clbench: Command, write_suite: Callable[..., str], tmp_path: Path, trainings: list[str]
) -> None:
    cells = cells_of(write_suite("weight-average", "opcm"))
    folders = [run(cell, tmp_path) for cell in cells]
    intermediates = [item for item in contents(tmp_path) if item.kind == "intermediate"]
    assert sorted(item.made_by for item in intermediates) == [
        f"learn {n}: shared by several" for n in ("one", "three", "two")
    ]
    assert all(item.cells == tuple(sorted(f"suite/{cell.key}" for cell in cells)) for item in intermediates)
    for item in intermediates:
        files = [path.stat().st_size for path in (tmp_path / "intermediates" / item.key).rglob("*") if path.is_file()]
        assert item.weight_bytes + item.other_bytes == sum(files)
    shown = clbench("versions", "--out", tmp_path).stdout.splitlines()
    assert shown[-1].startswith("6 versions, 3 intermediate results, 6 tests, ")  # version 1 of both has equal weights
    shutil.rmtree(folders[0].path)
    clean(tmp_path, "unused")
    assert len(list((tmp_path / "intermediates").iterdir())) == 3  # the other cell has used them
    digest = folders[1].record(3).digest
    (tmp_path / "intermediates" / f".{intermediates[0].key}.0123abcd.part").mkdir()  # a killed process has left it
    clean(tmp_path, "unused")
    assert len(list((tmp_path / "intermediates").iterdir())) == 3
    clean(tmp_path, "weights")
    assert not list((tmp_path / "intermediates").iterdir())
    shutil.rmtree(folders[1].path)
    assert clean(tmp_path, "unused") > 0
    trainings.clear()
    assert run(cells[1], tmp_path).record(3).digest == digest
    assert trainings == ["one", "two", "three"]
