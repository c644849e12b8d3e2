"""Streams with branches, entries with a strategy for each kind of update, and the store that cells share."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tests.benchmarks.stored_versions import lose_last, stored
from tests.strategies.update_streams import CLIP

from clbench.benchmarks.engine.cell import Cell
from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.benchmarks.engine.execution import CellRun, workplace_in
from clbench.benchmarks.engine.learners import build_learner
from clbench.benchmarks.engine.retention import droppable
from clbench.benchmarks.engine.store_contents import clean, contents
from clbench.benchmarks.engine.suite import load_suite
from clbench.benchmarks.engine.version_keys import Keys
from clbench.benchmarks.forecast.forecast import forecast_suite
from clbench.core.checkpoints import load_tensors
from clbench.core.errors import ConfigError
from clbench.spec.ledger import read_ledger

CPU = torch.device("cpu")
TASKS = [{"name": name, "kind": "classification", "metric": "accuracy"} for name in ("one", "two", "three")]
LIFE: list[dict[str, Any]] = [
    {"learn": "one"},
    {"learn": "two"},
    {"compress": {"bits": 8}},
    {"compress": {"bits": 4}, "parent": "two"},
    {"learn": "three", "parent": "two"},
]
SCALE = '''"""Compresses by a factor: a third party's strategy for updates of another kind."""
from pydantic import Field
import torch
from clbench import Strategy, StrategyConfig, register
from clbench.core.errors import ConfigError

class ScaleConfig(StrategyConfig):
    """Settings of `Scale`."""
    factor: float = Field(0.01, description="Factor of each bit that is saved.")

@register("scale", config=ScaleConfig)
class Scale(Strategy[ScaleConfig]):
    """Multiplies all weights of linear layers by 1 - factor * (32 - bits)."""

    def check_budget(self, update):
        if update.bits is None:
            raise ConfigError(f"strategy scale wants bits, got {update.label}")

    @torch.no_grad()
    def compress(self, update):
        self.context.record("compress/bits", update.bits)
        noise = torch.rand((), generator=self.generator)
        for layer in self.learner.linear_layers():
            weight = self.learner.module.get_submodule(layer.name).weight
            weight.mul_(1 - self.config.factor * (32 - update.bits) - 1e-3 * noise)
'''


@pytest.fixture
def life(tiny: Any, tmp_path: Path) -> Callable[..., str]:
    """Writes the card of a stream with branches on the tasks of the tiny stream; returns its path."""

    def write(updates: Sequence[dict[str, Any]] = LIFE, name: str = "tiny-life", **changes: Any) -> str:
        card = {
            "name": name,
            "description": "A life.",
            "loader": "based-on",
            "based_on": tiny.stream,
            "learner": CLIP,
            "protocols": ["task-id", "union"],
            "order_reason": "none",
            "tasks": TASKS,
            "updates": list(updates),
            **changes,
        }
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(card), "utf-8")
        return str(path)

    return write


@pytest.fixture
def scale(tmp_path: Path) -> str:
    """Path of a third party's strategy that compresses."""
    path = tmp_path / "scale.py"
    path.write_text(SCALE)
    return str(path)


def one_cell(stream: str, folder: Path, entry: Any, **settings: Any) -> Cell:
    """The only cell of a suite with one entry."""
    values = {"streams": [stream], "strategies": [entry], "budget": {"steps": 4, "batch_size": 8}, **settings}
    path = folder / "suite.yaml"
    path.write_text(yaml.safe_dump(values), "utf-8")
    (cell,) = load_suite(str(path)).cells
    return cell


def run(cell: Cell, out: Path, folder: str = "cell", fresh: bool = False) -> tuple[CellFolder, int]:
    """Run or resume a cell in new objects; its folder, and how many versions were taken from the store."""
    kept = CellFolder(out / "suite" / folder)
    running = CellRun(cell, kept, workplace_in(out, CPU, fresh), lambda doing, step, total: None)
    running.run(lambda version: None)
    return kept, running.taken


def rows_of(folder: CellFolder) -> Any:
    return read_ledger(folder.path / "ledger.parquet")


def test_branches_start_from_their_parent(life: Callable[..., str], scale: str, tmp_path: Path) -> None:
    entry = {"learn": "finetune", "compress": {"name": scale}}
    folder, taken = run(one_cell(life(), tmp_path, entry), tmp_path)
    assert taken == 0
    weights = {
        number: load_tensors(stored(tmp_path, folder.path, number) / "weights.safetensors") for number in (2, 5)
    }  # of a branch point and of the last version
    chain = one_cell(life([{"learn": name} for name in ("one", "two", "three")], "chain"), tmp_path, "finetune")
    plain, _ = run(chain, tmp_path / "plain")
    digests = [plain.record(version).digest for version in range(4)]
    assert [folder.record(version).digest for version in (0, 1, 2, 5)] == digests
    assert set(weights[2]) == set(weights[5])
    assert folder.record(3).numbers["compress/bits"] == 8
    assert folder.record(4).numbers["compress/bits"] == 4
    assert len({folder.record(version).digest for version in range(6)}) == 6


ADOPTED: list[dict[str, Any]] = [
    {"learn": "one"},
    {"learn": "two"},
    {"adopt": f"{CLIP}:b"},
    {"compress": {"bits": 8}},
    {"learn": "three", "parent": f"{CLIP}:b"},
    {"learn": "three", "name": "on the old one", "parent": "two"},
]


@pytest.mark.parametrize("updates", [LIFE, ADOPTED], ids=["levels", "a release"])
def test_a_cell_that_is_cut_after_any_version_ends_with_the_same_bits(
    updates: list[dict[str, Any]], life: Callable[..., str], scale: str, tmp_path: Path
) -> None:
    entry = {"learn": "ewc", "compress": {"name": scale}, "adopt": "retrain"}
    cell = one_cell(life(updates), tmp_path, entry)
    straight, _ = run(cell, tmp_path / "straight")
    last = len(updates)

    class Killed(Exception):
        """Stands for a kill."""

    def kill_after(number: int) -> Callable[[int], None]:
        def after(version: int) -> None:
            if version == number:
                raise Killed

        return after

    for number in range(last):
        with pytest.raises(Killed):
            folder = CellFolder(tmp_path / "cut" / "suite" / "cell")
            workplace = workplace_in(tmp_path / "cut", CPU)
            CellRun(cell, folder, workplace, lambda doing, step, total: None).run(kill_after(number))
    cut, _ = run(cell, tmp_path / "cut")
    assert rows_of(cut).equals(rows_of(straight))
    digests = [[folder.record(version).digest for version in range(last + 1)] for folder in (cut, straight)]
    assert digests[0] == digests[1]
    assert len(set(digests[0])) == last + 1


def test_cells_of_other_streams_share_the_versions_that_they_have_in_common(
    life: Callable[..., str], scale: str, tmp_path: Path
) -> None:
    run(one_cell(life([{"learn": "one"}, {"learn": "two"}], "chain"), tmp_path, "finetune"), tmp_path, "chain")
    entry = {"learn": "finetune", "compress": {"name": scale}}
    folder, taken = run(one_cell(life(), tmp_path, entry), tmp_path, "life")
    assert taken == 2
    alone, none = run(one_cell(life(), tmp_path, entry), tmp_path / "alone")
    assert none == 0
    assert rows_of(folder).equals(rows_of(alone))
    other = {"learn": "finetune", "compress": {"name": scale, "factor": 0.02}}
    assert run(one_cell(life(), tmp_path, other), tmp_path, "other")[1] == 3  # both tasks and the third, not the levels
    (tmp_path / "suite" / "again").mkdir()
    again, taken = run(one_cell(life(), tmp_path, entry), tmp_path, "again")
    assert taken == 5
    assert rows_of(again).equals(rows_of(alone))
    renewed, taken = run(one_cell(life(), tmp_path, entry), tmp_path, "renewed", fresh=True)
    assert taken == 0
    assert rows_of(renewed).equals(rows_of(alone))


def test_what_decides_bits_is_in_the_key_and_what_does_not_is_not(life: Callable[..., str], tmp_path: Path) -> None:
    def keys(stream: str, entry: Any = "finetune", device: str = "cpu", **settings: Any) -> list[str]:
        cell = one_cell(stream, tmp_path, entry, **settings)
        return [key.digest for key in Keys(cell, device, "weights").versions]

    chain = [{"learn": "one"}, {"learn": "two"}]
    usual = keys(life(chain))
    assert keys(life([{"learn": "one", "name": "x"}, {"learn": "two"}], "other")) == usual
    assert keys(life([*chain, {"learn": "three"}]))[:3] == usual
    swapped = keys(life(list(reversed(chain))))
    assert swapped[0] == usual[0]
    assert swapped[1] != usual[1]
    for other in (
        keys(life(chain), seeds=[1]),
        keys(life(chain), {"name": "finetune", "lr": 1e-5}),
        keys(life(chain), "ewc"),
        keys(life(chain), device="cuda"),
        keys(life(chain), precision="bfloat16"),
        [key.digest for key in Keys(one_cell(life(chain), tmp_path, "finetune"), "cpu", "other").versions],
    ):
        assert not set(other) & set(usual)
    budget = keys(life(chain), budget={"steps": 5, "batch_size": 8})
    assert budget[0] == usual[0]
    assert budget[1] != usual[1]


def test_weights_are_kept_of_the_newest_the_last_and_branch_points() -> None:
    parents = (0, 1, 2, 2, 2, 5, 6)  # 0 - 1 - 2 - {3, 4, 5}, 5 - 6 - 7
    assert droppable(parents, 1) == []
    assert droppable(parents, 2) == [1]
    assert droppable(parents, 3) == [1]
    assert droppable(parents, 5) == [1, 3, 4]
    assert droppable(parents, 7) == [1, 3, 4, 5, 6]
    assert droppable((0, 1, 0), 3) == [1, 2]
    assert droppable((0, 0, 1), 2) == []
    assert droppable(parents, 5, "last") == [1, 2, 3, 4]
    assert droppable(parents, 4, "last") == [1, 3]  # 5 is still to come, from 2
    assert droppable(parents, 7, "all") == []


def test_weights_that_were_dropped_are_computed_again_to_the_bit(
    life: Callable[..., str], scale: str, tmp_path: Path
) -> None:
    cell = one_cell(life(), tmp_path, {"learn": "finetune", "compress": {"name": scale}})
    folder, _ = run(cell, tmp_path)
    before = rows_of(folder)
    lose_last(tmp_path, folder.path, 5)
    assert clean(tmp_path, "weights") > 0
    assert not list(tmp_path.rglob("weights.safetensors"))
    again, taken = run(cell, tmp_path)
    assert taken == 0  # versions 0 to 4 were in the folder of the cell
    assert rows_of(again).equals(before)


def test_a_strategy_that_starts_from_scratch_compresses_what_it_has_learnt(
    life: Callable[..., str], scale: str, tmp_path: Path
) -> None:
    """A level whose weights were dropped is made from its parent, and not from version 0."""
    cell = one_cell(life(), tmp_path, {"learn": "joint", "compress": {"name": scale}})
    folder, _ = run(cell, tmp_path)
    digests = [folder.record(version).digest for version in range(6)]
    rows = folder.rows(3)
    for version in (3, 4, 5):
        shutil.rmtree(folder.path / "versions" / f"{version:04d}")
    shutil.rmtree(tmp_path / "tests")  # so that the weights of version 3, which were dropped, are needed again
    again, taken = run(cell, tmp_path)
    assert taken == 3
    assert [again.record(version).digest for version in range(6)] == digests
    assert again.rows(3).equals(rows)


@pytest.mark.parametrize("entry", ["joint", "per-task"])
def test_the_last_version_alone_is_that_of_all_versions_on_branches_and_after_a_kill(
    entry: str, life: Callable[..., str], tmp_path: Path
) -> None:
    fork = [{"learn": "one"}, {"learn": "two"}, {"learn": "three", "parent": "one"}]
    for name, updates in (("chain", [{"learn": task} for task in ("one", "two", "three")]), ("fork", fork)):
        stream, digests = life(updates, name), []
        for last_only in (False, True):
            cell = one_cell(stream, tmp_path, {"name": entry, "last_only": last_only})
            folder, _ = run(cell, tmp_path / f"{name} {last_only}")
            digests.append(folder.record(3).digest)
        lose_last(tmp_path / f"{name} True", folder.path, 3)
        shutil.rmtree(folder.path / "versions" / "0002")
        again, _ = run(cell, tmp_path / f"{name} True")
        assert {again.record(3).digest, *digests} == {digests[0]}


def test_a_forecast_counts_the_tasks_of_each_path(life: Callable[..., str], scale: str, tmp_path: Path) -> None:
    """Joint training of 4 steps for each task of the path: one; one and two; one, two and three. Levels take none."""
    (found,) = forecast_suite([one_cell(life(), tmp_path, {"learn": "joint", "compress": scale})], CPU).cells
    assert found.steps == 4 * (1 + 2 + 3)
    fork = life([{"learn": "one"}, {"learn": "two"}, {"learn": "three", "parent": "one"}], "fork")
    (found,) = forecast_suite([one_cell(fork, tmp_path, {"name": "joint", "last_only": True})], CPU).cells
    assert found.steps == 4 * (1 + 2 + 2)


def test_the_store_says_who_uses_what_and_forgets_what_nobody_uses(
    life: Callable[..., str], scale: str, tmp_path: Path
) -> None:
    entry = {"learn": "finetune", "compress": {"name": scale}}
    folder, _ = run(one_cell(life(), tmp_path, entry), tmp_path, "life")
    other, _ = run(one_cell(life(LIFE[:2], "short"), tmp_path, entry), tmp_path, "short")
    found = {item.key: item for item in contents(tmp_path)}
    assert found[folder.record(2).key].cells == ("suite/life", "suite/short")
    assert found[folder.record(2).key].made_by == "learn two: finetune"
    assert found[folder.record(3).key].cells == ("suite/life",)
    assert found[folder.record(3).key].made_by == "compress 8.0: scale"
    (tmp_path / "versions" / ".abc.123.part").mkdir()
    shutil.rmtree(folder.path)
    assert clean(tmp_path, "unused") > 0
    left = {item.key for item in contents(tmp_path)}
    assert left == {other.record(version).key for version in (1, 2)} | {
        other.record(version).test for version in (0, 1, 2)
    }
    assert not list((tmp_path / "versions").glob(".abc*"))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("finetune", r"strategy finetune handles learn; stream tiny-life has 'compress' \(8 bits\)"),
        ({"compress": "SCALE"}, r"strategy scale handles compress; stream tiny-life has 'learn' \(one\)"),
        ({"learn": "naive-update", "compress": "SCALE"}, r"strategy naive-update handles adopt; .*'learn' \(one\)"),
        ({"learn": "finetune", "compress": "SCALE", "lr": 1}, "only label, streams and last_only beside them"),
        ({"learn": "finetune", "name": "x", "compress": "SCALE"}, "only label, streams and last_only beside them"),
        ({"learn": "finetune", "compress": {"factor": 1}}, "names, or mappings with a name and settings"),
        ({"learn": "finetune", "compress": {"name": "SCALE", "fctor": 1}}, "unknown setting 'fctor'"),
    ],
)
def test_entries_that_do_not_fit_are_refused_when_the_suite_is_loaded(
    entry: Any, message: str, life: Callable[..., str], scale: str, tmp_path: Path
) -> None:
    named = yaml.safe_load(yaml.safe_dump(entry).replace("SCALE", scale))
    with pytest.raises(ConfigError, match=message):
        one_cell(life(), tmp_path, named)


def test_strategies_with_adapters_for_each_task_stand_alone(
    life: Callable[..., str], scale: str, tmp_path: Path
) -> None:
    stream = life([{"adopt": f"{CLIP}:b"}, {"compress": {"bits": 4}}], protocols=["task-id"])
    with pytest.raises(ConfigError, match="naive-update predicts with more than the model's weights"):
        one_cell(stream, tmp_path, {"adopt": "naive-update", "compress": scale})


def test_a_budget_that_the_strategy_does_not_handle_is_told_before_anything_runs(
    life: Callable[..., str], scale: str, tmp_path: Path
) -> None:
    stream = life([*LIFE[:2], {"compress": {"sparsity": 0.5}}])
    cell = one_cell(stream, tmp_path, {"learn": "finetune", "compress": scale})
    with pytest.raises(ConfigError, match="strategy scale wants bits, got 50 % zeros"):
        run(cell, tmp_path)
    assert not list(tmp_path.glob("versions/[0-9a-f]*"))


def test_the_identity_of_each_kind_changes_no_bit(life: Callable[..., str], tmp_path: Path) -> None:
    updates = [
        {"learn": "one"},
        {"learn": "two"},
        {"compress": {"bits": 32}, "parent": "two"},
        {"compress": {"sparsity": 0}, "parent": "two"},
        {"forget": {"task": "one", "category": "one 0"}, "parent": "two"},
    ]
    nothing = {"learn": "finetune", "compress": "zero-shot", "forget": "zero-shot"}
    folder, _ = run(one_cell(life(updates), tmp_path, nothing), tmp_path)
    assert len({folder.record(version).digest for version in (2, 3, 4, 5)}) == 1
    ledgers = [folder.rows(version).drop_columns("version") for version in (2, 3, 4, 5)]
    assert all(ledger.equals(ledgers[0]) for ledger in ledgers)


def test_two_processes_compute_every_version_once(life: Callable[..., str], tmp_path: Path) -> None:
    log = tmp_path / "log"
    (tmp_path / "logged.py").write_text(
        '"""Fine-tuning that writes down what it learns."""\n'
        "import os, time\n"
        "from clbench import GradientConfig, GradientStrategy, register\n"
        '@register("logged", config=GradientConfig)\n'
        "class Logged(GradientStrategy[GradientConfig]):\n"
        '    """Writes a line for each task."""\n'
        "    def begin_task(self, task):\n"
        f"        with open({str(log)!r}, 'a') as file:\n"
        "            file.write(f'{self.context.seed} {task.name}\\n')\n"
        "        time.sleep(0.5)\n"
    )
    stream = life([{"learn": name} for name in ("one", "two", "three")], "chain")
    commands = []
    for name in ("first", "second"):
        values = {"streams": [stream], "strategies": [str(tmp_path / "logged.py")], "seeds": [0, 1]}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({**values, "budget": {"steps": 2, "batch_size": 4}}))
        suite = ["run", str(tmp_path / f"{name}.yaml"), "--out", str(tmp_path / "out"), "--json"]
        uri = ["--tracking-uri", f"sqlite:///{tmp_path / name}.db"]
        commands.append([sys.executable, "-m", "clbench", *suite, *uri])
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    found = [json.loads(process.communicate()[0]) for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert sorted(log.read_text().splitlines()) == sorted(
        f"{seed} {task}" for seed in (0, 1) for task in ("one", "two", "three")
    )
    taken = [cell.get("taken", 0) for result in found for cell in result["cells"]]
    assert sum(taken) == 6
    first, second = ([rows_of(CellFolder(Path(cell["folder"]))) for cell in result["cells"]] for result in found)
    assert all(one.equals(two) for one, two in zip(first, second, strict=True))


def test_test_data_are_out_of_a_strategys_reach(life: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "peeks.py").write_text(
        '"""A strategy that looks at test data."""\n'
        "from clbench import Strategy, StrategyConfig, register\n"
        '@register("peeks", config=StrategyConfig)\n'
        "class Peeks(Strategy[StrategyConfig]):\n"
        '    """Asks for what it must not see."""\n'
        "    def learn(self, task):\n"
        "        self.context.samples(task, 'validation')\n"
        "        self.context.samples(task, 'test')\n"
    )
    with pytest.raises(ConfigError, match="task 'one': a strategy asked for test data"):
        run(one_cell(life(LIFE[:2]), tmp_path, str(tmp_path / "peeks.py")), tmp_path)


def test_the_pretrained_model_is_the_release_that_was_adopted_last(life: Callable[..., str], tmp_path: Path) -> None:
    """Strategies that go back to it, or anchor to it, do not return to an old base."""
    (tmp_path / "asks.py").write_text(
        '"""A strategy that asks for the pre-trained model."""\n'
        "from clbench import Strategy, StrategyConfig, register\n"
        '@register("asks", config=StrategyConfig)\n'
        "class Asks(Strategy[StrategyConfig]):\n"
        '    """Records which one it gets, when it is built and when it learns."""\n'
        "    def __init__(self, config, context):\n"
        "        super().__init__(config, context)\n"
        "        self.first = self.number()\n"
        "    def number(self):\n"
        "        return int(self.context.new_learner().digest()[:8], 16)\n"
        "    def learn(self, task):\n"
        "        self.context.record('built', self.first)\n"
        "        self.context.record('learns', self.number())\n"
    )
    updates = [{"learn": "one"}, {"adopt": f"{CLIP}:b"}, {"learn": "two"}, {"learn": "three", "parent": "one"}]
    entry = {"learn": str(tmp_path / "asks.py"), "adopt": "retrain"}
    cell = one_cell(life(updates), tmp_path, entry)
    folder, _ = run(cell, tmp_path)
    shutil.rmtree(folder.path / "versions" / "0004")
    lose_last(tmp_path, folder.path, 3)
    resumed, _ = run(cell, tmp_path)
    for version, release in ((1, CLIP), (3, f"{CLIP}:b"), (4, CLIP)):
        wanted = int(build_learner(release, 0, CPU).digest()[:8], 16)
        numbers = resumed.record(version).numbers
        assert (numbers["built"], numbers["learns"]) == (wanted, wanted)


def test_what_is_computed_once_is_that_of_the_update(life: Callable[..., str], tmp_path: Path) -> None:
    """Two branches at one depth adopt other releases; what a strategy shares under one key is that of its own."""
    (tmp_path / "shares.py").write_text(
        '"""A strategy that shares a number of the release."""\n'
        "from clbench import Strategy, StrategyConfig, register\n"
        '@register("shares", config=StrategyConfig)\n'
        "class Shares(Strategy[StrategyConfig]):\n"
        '    """Takes each release as it is."""\n'
        "    def adopt(self, release, tasks):\n"
        "        self.learner = release\n"
        "        found = self.context.once(self.version, lambda: {'number': int(release.digest()[:8], 16)})\n"
        "        self.context.record('release', found['number'])\n"
    )
    updates = [{"adopt": CLIP}, {"adopt": f"{CLIP}:b"}, {"adopt": f"{CLIP}:c", "parent": CLIP}]
    folder, _ = run(one_cell(life(updates), tmp_path, str(tmp_path / "shares.py")), tmp_path)
    for version, release in ((1, CLIP), (2, f"{CLIP}:b"), (3, f"{CLIP}:c")):
        wanted = int(build_learner(release, 0, CPU).digest()[:8], 16)
        assert folder.record(version).numbers["release"] == wanted
