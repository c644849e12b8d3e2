"""`--fresh`: an earlier finished result is lost only to a new finished one."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient

from clbench.benchmarks.engine import runner
from clbench.benchmarks.engine.cell import Cell
from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.benchmarks.engine.cell_log import Outcome
from clbench.benchmarks.engine.execution import CellRun
from clbench.benchmarks.engine.result_backup import ResultBackup
from clbench.benchmarks.engine.runner import RunOptions, run_suite
from clbench.benchmarks.engine.suite import load_suite
from clbench.core.errors import ClbenchError
from clbench.core.storage import read_json, write_json


class Silent:
    """A listener that does nothing."""

    def on_cell_start(self, *arguments: object) -> None:
        """Nothing."""

    on_version_end = on_cell_end = on_step = on_problem = on_cell_start


def call(path: str, out: Path, fresh: bool = False) -> Outcome:
    """Run a suite of one cell."""
    options = RunOptions(out, torch.device("cpu"), f"sqlite:///{out / 'mlflow.db'}", fresh)
    (outcome,) = run_suite(load_suite(path), options, Silent()).outcomes
    return outcome


def cell_at(path: Path, finished: bool, name: str) -> None:
    """A cell's folder with a file that tells it from others."""
    write_json(path / "result.json", {"status": "finished" if finished else "failed"})
    (path / name).write_text("")


@pytest.mark.parametrize("new", ["finished", "failed", "half", "none"])
def test_what_a_killed_run_has_left_is_settled(tmp_path: Path, new: str) -> None:
    cell_at(tmp_path / ".earlier" / "cell", True, "old")
    if new != "none":
        cell_at(tmp_path / "cell", new == "finished", "new")
    if new == "half":
        (tmp_path / "cell" / "result.json").unlink()
    ResultBackup(tmp_path).commit_or_restore()
    expected = {"finished": {"new"}, "failed": {"old", "fresh-failed.json"}}.get(new, {"old"})
    assert {path.name for path in (tmp_path / "cell").iterdir()} == expected | {"result.json"}
    assert CellFolder(tmp_path / "cell").finished
    assert not list((tmp_path / ".earlier").iterdir())


def test_only_finished_results_are_kept(tmp_path: Path) -> None:
    cell_at(tmp_path / "cell", False, "old")
    with ResultBackup(tmp_path).hold("cell"):
        assert not (tmp_path / "cell").exists()
    assert not (tmp_path / "cell").exists()


def test_a_folder_that_cannot_be_moved_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell_at(tmp_path / "cell", True, "old")

    def refuse(*arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    message = "cell: the earlier result cannot be moved or removed: Permission denied"
    with pytest.raises(ClbenchError, match=message), ResultBackup(tmp_path).hold("cell"):
        pass
    assert CellFolder(tmp_path / "cell").finished


@pytest.mark.parametrize("error", [ZeroDivisionError("on purpose"), KeyboardInterrupt()])
def test_a_new_run_that_fails_or_is_interrupted_brings_the_earlier_result_back(
    write_suite: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    path = write_suite("zero-shot")
    folder = call(path, tmp_path).folder.path
    (folder / "mark").write_text("earlier")

    class Failing(CellRun):
        """Ends badly after some work."""

        def run(self, after_version: Callable[[int], None]) -> None:
            def after(version: int) -> None:
                after_version(version)
                raise error

            super().run(after)

    with monkeypatch.context() as patch:
        patch.setattr(runner, "CellRun", Failing)
        if isinstance(error, KeyboardInterrupt):
            with pytest.raises(KeyboardInterrupt):
                call(path, tmp_path, fresh=True)
        else:
            outcome = call(path, tmp_path, fresh=True)
            assert outcome.error == "ZeroDivisionError: on purpose (the earlier result was kept)"
            assert "on purpose" in str(read_json(outcome.folder.failure)["traceback"])
    assert (folder / "mark").read_text() == "earlier"
    assert call(path, tmp_path).status == "kept"
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    runs = client.search_runs(["1"], "tags.`clbench.kind` = 'cell'", order_by=["attributes.start_time"])
    assert [run.info.status for run in runs] == [
        "FINISHED",
        "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED",
    ]
    assert call(path, tmp_path, fresh=True).status == "finished"
    assert not (folder / "mark").exists()


def test_cells_that_have_not_begun_keep_their_results(
    write_suite: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = load_suite(write_suite("zero-shot", "finetune"))
    options = RunOptions(tmp_path, torch.device("cpu"), f"sqlite:///{tmp_path / 'mlflow.db'}")
    run_suite(suite, options, Silent())
    seen = []

    class Looking(Silent):
        """Looks at the other cell when one begins."""

        def on_cell_start(self, *arguments: object) -> None:
            others: list[Cell] = [cell for cell in suite.cells if cell is not arguments[1]]
            seen.append(CellFolder(tmp_path / "suite" / others[0].key).finished)

    run_suite(suite, RunOptions(options.out, options.device, options.tracking_uri, fresh=True), Looking())
    assert seen == [True, True]


SLOW = '''"""Fine-tuning that takes its time."""
import time
from clbench.core.registry import STRATEGIES
from clbench.strategies._training.gradient import GradientConfig, GradientStrategy

@STRATEGIES.register("slow", config=GradientConfig)
class Slow(GradientStrategy[GradientConfig]):
    """Fine-tuning with a rest after each step."""
    def after_step(self, task, step):
        time.sleep(0.05)
'''


def test_kill_nine_while_computing_again_loses_nothing(write_suite: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    path = write_suite(str(tmp_path / "slow.py"))
    out = tmp_path / "out"
    folder = call(path, out).folder.path
    before = (folder / "ledger.parquet").stat()
    command = [sys.executable, "-m", "clbench", "run", path, "--out", str(out), "--fresh"]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (folder / "versions" / "0001").exists() or not (out / "suite" / ".earlier" / folder.name).exists():
        assert time.monotonic() < deadline, "the new run did not begin"
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert call(path, out).status == "kept"
    assert (folder / "ledger.parquet").stat().st_mtime_ns == before.st_mtime_ns
    shutil.rmtree(out)
