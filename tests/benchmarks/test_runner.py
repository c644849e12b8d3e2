"""The runner: failures stay in their cell, kills lose nothing, the tracking store may go away."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from tests.benchmarks.stored_versions import stored
from tests.conftest import Tiny

from clbench.benchmarks.engine.cell import Cell
from clbench.benchmarks.engine.cell_log import Outcome
from clbench.benchmarks.engine.runner import RunOptions, choose_device, run_suite
from clbench.benchmarks.engine.suite import load_suite
from clbench.benchmarks.tracking.tracker import Tracker
from clbench.core.errors import ClbenchError, ConfigError, TrackingError
from clbench.core.storage import read_json
from clbench.reports.result import parse_result
from clbench.spec.ledger import read_ledger
from clbench.spec.task_orders import drawn_order

CLBENCH = [sys.executable, "-m", "clbench"]
SLOW = '''"""Fine-tuning that takes its time."""
import time
from clbench.core.registry import STRATEGIES
from clbench.strategies._training.gradient import GradientConfig, GradientStrategy

@STRATEGIES.register("slow", config=GradientConfig)
class Slow(GradientStrategy[GradientConfig]):
    """Fine-tuning with a rest after each step."""
    def after_step(self, task, step):
        time.sleep(0.02)
'''
BROKEN = '''"""A strategy with a defect."""
from clbench.contracts import Strategy, StrategyConfig
from clbench.core.registry import STRATEGIES

@STRATEGIES.register("broken", config=StrategyConfig)
class Broken(Strategy[StrategyConfig]):
    """Fails at its second task."""
    def learn(self, task):
        if len(self.seen) == 2:
            raise ZeroDivisionError("on purpose")
'''


class Quiet:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def on_cell_start(self, index: int, cell: Cell, versions: int) -> None:
        """Nothing."""

    def on_version_end(self, index: int, version: int) -> None:
        """Nothing."""

    def on_cell_end(self, index: int) -> None:
        """Nothing."""

    def on_step(self, index: int, doing: str, step: int, total: int) -> None:
        """Nothing."""

    def on_problem(self, message: str) -> None:
        """Keep it."""
        self.problems.append(message)


def options(out: Path, fresh: bool = False) -> RunOptions:
    """A run on the CPU with a store in the folder."""
    return RunOptions(out, torch.device("cpu"), f"sqlite:///{out / 'mlflow.db'}", fresh)


def run(path: str, out: Path, fresh: bool = False) -> tuple[Sequence[Outcome], Quiet]:
    """Run a suite quietly."""
    quiet = Quiet()
    return run_suite(load_suite(path), options(out, fresh), quiet).outcomes, quiet


def test_seeds_go_through_orders_as_if_the_card_had_them(
    tiny: Tiny, write_suite: Callable[..., str], tmp_path: Path
) -> None:
    strategies: list[Any] = ["finetune", "lora", {"name": "finetune", "memory": {"name": "random", "size": 6}}]
    outcomes, _ = run(write_suite(*strategies, seeds=[0, 1], orders=2), tmp_path / "drawn")
    card = yaml.safe_load(Path(tiny.stream).read_text())
    order = drawn_order([task["name"] for task in card["tasks"]], 1)
    card |= {"tasks": [next(t for t in card["tasks"] if t["name"] == name) for name in order]}
    (other := tiny.folder / "other.yaml").write_text(yaml.safe_dump(card))
    wanted, _ = run(write_suite(*strategies, seeds=[1], streams=[str(other)]), tmp_path / "listed")
    for own, listed in zip(outcomes[1::2], wanted, strict=True):
        assert read_ledger(own.folder.path / "ledger.parquet").equals(
            read_ledger(listed.folder.path / "ledger.parquet")
        )
        results = [outcome.folder.result(outcome.cell.load_stream()) for outcome in (own, listed)]
        assert results[0].protocols == results[1].protocols
    first = outcomes[0].cell.load_stream()
    assert [update.label for update in first.updates] == ["one", "two", "three"] != list(order)


@pytest.mark.parametrize("strategy", ["joint", "per-task", "finetune"])
def test_the_last_version_alone_is_the_one_that_is_there_with_all(
    write_suite: Callable[..., str], tmp_path: Path, strategy: str
) -> None:
    """Those that start anew at every update do not make the versions between, and nobody can tell."""
    path = write_suite(strategy, {"name": strategy, "label": "last only", "last_only": True})
    outcomes, _ = run(path, tmp_path)
    whole, last = (tmp_path / "suite" / outcome.cell.key for outcome in outcomes)
    records = [[json.loads((f / f"versions/{v:04d}/record.json").read_text()) for v in range(4)] for f in (whole, last)]
    digests = [[record["digest"] for record in of_cell] for of_cell in records]
    assert digests[0][3] == digests[1][3]
    assert (len(set(digests[1])) == 2) == (strategy != "finetune")
    rows = [read_ledger(folder / "ledger.parquet") for folder in (whole, last)]
    assert rows[1].equals(rows[0].filter([version == 3 for version in rows[0]["version"].to_pylist()]))


def test_a_cell_that_fails_is_recorded_and_the_others_go_on(write_suite: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    path = write_suite(str(tmp_path / "broken.py"), {"name": "finetune", "lr": 1e20}, "zero-shot")
    outcomes, quiet = run(path, tmp_path)
    assert [outcome.status for outcome in outcomes] == ["failed", "failed", "finished"]
    assert outcomes[0].error == "ZeroDivisionError: on purpose"
    assert (outcomes[0].defect, outcomes[1].defect) == (True, False)
    assert "the loss is not finite" in outcomes[1].error
    assert len(quiet.problems) == 2
    assert outcomes[0].folder.last_version == 1
    result = json.loads((outcomes[0].folder.path / "result.json").read_text())
    assert "ZeroDivisionError" in result["traceback"]


def test_nothing_is_done_twice_unless_asked(write_suite: Callable[..., str], tmp_path: Path) -> None:
    path = write_suite("finetune")
    (first,), _ = run(path, tmp_path)
    stamp = (first.folder.path / "ledger.parquet").stat().st_mtime_ns
    (second,), _ = run(path, tmp_path)
    assert second.status == "kept"
    assert (second.folder.path / "ledger.parquet").stat().st_mtime_ns == stamp
    (third,), _ = run(path, tmp_path, fresh=True)
    assert third.status == "finished"
    assert (third.folder.path / "ledger.parquet").stat().st_mtime_ns > stamp


def test_damaged_results_are_one_line_and_fresh_mends_them(write_suite: Callable[..., str], tmp_path: Path) -> None:
    path = write_suite("finetune")
    (first,), _ = run(path, tmp_path)
    folder = first.folder.path
    weights = stored(tmp_path, folder, 3) / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:50])
    (folder / "versions" / ".0004.x.part").mkdir()  # what a kill leaves
    shutil.rmtree(folder / "versions" / "0003")  # the version is in the store, but was not tested
    shutil.rmtree(tmp_path / "tests")
    (folder / "result.json").unlink()
    (second,), _ = run(path, tmp_path)
    assert second.status == "failed"
    assert not second.defect
    assert "weights.safetensors: cannot be read as safetensors" in second.error
    assert not list(folder.glob("versions/.*"))
    (third,), _ = run(path, tmp_path, fresh=True)
    assert third.status == "finished"


def test_a_finished_cell_that_is_damaged_says_so_and_the_others_go_on(
    write_suite: Callable[..., str], tmp_path: Path
) -> None:
    (first,), _ = run(write_suite("zero-shot"), tmp_path)
    folder = first.folder.path
    shutil.rmtree(folder / "versions")
    mark = (folder / "result.json").read_bytes()
    path = write_suite("zero-shot", {"name": "finetune", "lr": 1e-4})
    result = run_suite(load_suite(path), options(tmp_path), quiet := Quiet())
    assert [outcome.status for outcome in result.outcomes] == ["failed", "finished"]
    assert "0000/record.json: No such file" in result.outcomes[0].error
    assert result.outcomes[0].error.endswith("; --fresh computes the cell again")
    assert not result.outcomes[0].defect
    assert (len(quiet.problems), result.unlogged) == (1, [])
    assert (folder / "result.json").read_bytes() == mark
    outcomes, _ = run(path, tmp_path, fresh=True)
    assert [outcome.status for outcome in outcomes] == ["finished", "finished"]


def test_a_damaged_mark_is_made_again(write_suite: Callable[..., str], tmp_path: Path) -> None:
    path = write_suite("finetune")
    (first,), _ = run(path, tmp_path)
    (first.folder.path / "result.json").write_text('{"status":')
    (second,), quiet = run(path, tmp_path)
    assert (second.status, quiet.problems) == ("finished", [])
    assert json.loads((first.folder.path / "result.json").read_text())["status"] == "finished"


def test_a_store_that_goes_away_stops_nothing_and_is_caught_up(
    write_suite: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_suite("finetune", "zero-shot")

    def away(*arguments: object) -> None:
        raise TrackingError("tracking store x: connection refused")

    with monkeypatch.context() as patch:
        for name in ("begin", "log_versions", "finish"):
            patch.setattr(Tracker, name, away)
        result = run_suite(load_suite(path), options(tmp_path), Quiet())
        assert [outcome.status for outcome in result.outcomes] == ["finished", "finished"]
        kept = "(the results are in the run folder; the same command logs them later)"
        assert [line.partition(": not logged: ")[2] for line in result.unlogged] == [
            f"tracking store x: connection refused {kept}"
        ] * 2
    outcomes, _ = run(path, tmp_path)
    assert [outcome.status for outcome in outcomes] == ["kept", "kept"]
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("clbench")
    assert experiment is not None
    cells = client.search_runs([experiment.experiment_id], "tags.`clbench.kind` = 'cell'")
    assert [run.info.status for run in cells] == ["FINISHED", "FINISHED"]


def test_a_defect_in_logging_fails_no_cell(
    write_suite: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(*arguments: object) -> None:
        raise KeyError("inside")

    for name in ("begin", "finish"):
        monkeypatch.setattr(Tracker, name, defect)
    quiet = Quiet()
    result = run_suite(load_suite(write_suite("zero-shot")), options(tmp_path), quiet)
    (outcome,) = result.outcomes
    assert (outcome.status, outcome.error) == ("finished", "")
    kept = "(the results are in the run folder; it is tried again at the end)"
    assert quiet.problems == [f"logging failed: KeyError: 'inside' {kept}"]
    (line,) = result.unlogged
    assert ": not logged: logging failed: KeyError: 'inside' (the results are in the run folder" in line


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow waits 20 seconds for each lock."""
    from mlflow.store.db import utils
    from sqlalchemy import text

    monkeypatch.setattr(utils, "sql", SimpleNamespace(text=lambda words: text(words.replace("20000", "20"))))


def test_a_database_that_another_process_has_locked_is_told_once_at_the_end_and_caught_up(
    write_suite: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(monkeypatch)
    path, told = (
        write_suite("zero-shot", "finetune"),
        f"sqlite:///{tmp_path / 'mlflow.db'}: database is locked: another",
    )
    other = sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)

    class Locking(Quiet):
        def on_version_end(self, index: int, version: int) -> None:
            """From now on another writes."""
            if not other.in_transaction:
                other.execute("BEGIN IMMEDIATE")

    with contextlib.closing(other):
        result = run_suite(load_suite(path), options(tmp_path), listener := Locking())
    assert [outcome.status for outcome in result.outcomes] == ["finished", "finished"]
    assert all(told in problem for problem in listener.problems)
    (line,) = result.unlogged
    assert told in line
    assert line.endswith("(the results are in the run folder; the same command logs them later)")
    again = run_suite(load_suite(path), options(tmp_path), Quiet())
    assert ([outcome.status for outcome in again.outcomes], again.unlogged) == (["kept", "kept"], [])


def test_a_store_that_is_away_at_the_end_is_one_line_and_asked_no_more(
    write_suite: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def away(*arguments: object) -> None:
        asked.append(arguments)
        raise TrackingError("tracking store x: connection refused")

    for name in ("finish", "close"):
        monkeypatch.setattr(Tracker, name, away)
    result = run_suite(load_suite(write_suite("zero-shot", "finetune")), options(tmp_path), Quiet())
    assert [line.partition(" (")[0] for line in result.unlogged] == ["tracking store x: connection refused"]
    assert len(asked) == 4  # once a cell when it ended, then one cell and the store itself


def test_a_store_that_does_not_answer_at_the_start_is_one_line(write_suite: Callable[..., str], tmp_path: Path) -> None:
    suite = load_suite(write_suite("zero-shot"))
    with pytest.raises(TrackingError, match=r"tracking store http://127.0.0.1:9"):
        run_suite(suite, RunOptions(tmp_path, torch.device("cpu"), "http://127.0.0.1:9"), Quiet())


def test_two_processes_do_not_share_a_folder(write_suite: Callable[..., str], tmp_path: Path) -> None:
    import fcntl

    path = write_suite("zero-shot")
    (tmp_path / "suite").mkdir()
    with (tmp_path / "suite" / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="another process runs this suite here"):
            run(path, tmp_path)


def test_an_output_folder_that_cannot_be_written_is_one_line(write_suite: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ClbenchError, match="cannot be written"):
        run(write_suite("zero-shot"), tmp_path / "file" / "out")


def test_devices_are_checked() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(ConfigError, match="--device must be auto, cpu or cuda, got 'tpu'"):
        choose_device("tpu")


def test_kill_nine_in_the_middle_of_a_task_changes_no_bit(write_suite: Callable[..., str], tmp_path: Path) -> None:
    """The whole process group is killed while the third task is learnt; the same command then finishes the cell."""
    (tmp_path / "slow.py").write_text(SLOW)
    path = write_suite(str(tmp_path / "slow.py"), budget={"steps": 50, "batch_size": 8})
    command = [*CLBENCH, "run", path, "--out"]
    cut, straight = tmp_path / "cut", tmp_path / "straight"
    process = subprocess.Popen(
        [*command, str(cut)], start_new_session=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    deadline = time.monotonic() + 120
    while not list(cut.glob("suite/*/versions/0002")):
        assert time.monotonic() < deadline, "version 2 did not appear"
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not list(cut.glob("suite/*/versions/0003"))
    for out in (cut, straight):
        subprocess.run([*command, str(out)], check=True, capture_output=True)
    ledgers = [read_ledger(next(out.glob("suite/*/ledger.parquet"))) for out in (cut, straight)]
    assert ledgers[0].equals(ledgers[1])
    results = [parse_result(read_json(next(out.glob("suite/*/result.json")))) for out in (cut, straight)]
    assert results[0].protocols == results[1].protocols
