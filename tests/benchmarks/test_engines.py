"""What all engines have in common: their choice, the locks of folders, what the runner makes of events."""

import fcntl
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.benchmarks.test_runner import Quiet

from clbench.benchmarks.engine import folder_locks, runner
from clbench.benchmarks.engine.engines.choose import engine_for
from clbench.benchmarks.engine.engines.local_processes import LocalProcesses
from clbench.benchmarks.engine.engines.protocol import Handle, Request
from clbench.benchmarks.engine.engines.slurm_jobs import SlurmJobs
from clbench.benchmarks.engine.folder_locks import cell_alone, require_head, suite_alone
from clbench.benchmarks.engine.runner import RunOptions, choose_device, run_suite
from clbench.benchmarks.engine.suite import load_suite
from clbench.core.errors import ClbenchError, ConfigError

CPU = torch.device("cpu")
HOLD = """
import sys, time
from pathlib import Path
from clbench.benchmarks.engine.folder_locks import cell_alone
with cell_alone(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def test_a_name_chooses_the_engine(write_suite: Callable[..., str], tmp_path: Path) -> None:
    cells = load_suite(write_suite("zero-shot", "finetune", threads=1)).cells
    assert isinstance(engine_for("local", "2", cells, CPU, tmp_path), LocalProcesses)
    assert engine_for("local", "1", cells, CPU, tmp_path) is None
    assert isinstance(engine_for("slurm", "auto", cells, CPU, tmp_path), SlurmJobs)
    with pytest.raises(ConfigError, match="--engine must be local, ray, slurm, got 'slrum'"):
        engine_for("slrum", "auto", cells, CPU, tmp_path)
    with pytest.raises(ConfigError, match="--workers must be auto or a number from 1 on, got 'many'"):
        engine_for("slurm", "many", cells, CPU, tmp_path)


def test_cells_without_threads_go_to_no_cluster_of_cpus(write_suite: Callable[..., str], tmp_path: Path) -> None:
    cells = load_suite(write_suite("zero-shot")).cells
    with pytest.raises(ConfigError, match="--engine slurm: the suite sets no threads"):
        engine_for("slurm", "auto", cells, CPU, tmp_path)
    assert engine_for("slurm", "auto", cells, torch.device("cuda"), tmp_path)


def test_a_gpu_need_not_be_where_the_command_is() -> None:
    assert choose_device("cuda", here=False) == torch.device("cuda")
    assert choose_device("cpu", here=False) == CPU


def test_a_cell_belongs_to_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = tmp_path / "suite" / "cell"

    def hold(seconds: float) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen([sys.executable, "-c", HOLD, str(cell), str(seconds)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        return process

    process = hold(0.3)
    with cell_alone(cell):
        pass
    assert process.wait() == 0
    monkeypatch.setattr(folder_locks, "PATIENCE", 0.3)
    process = hold(60)
    with pytest.raises(ClbenchError, match=rf"another process computes this cell \(process {process.pid} on "):
        cell_alone(cell).__enter__()
    process.kill()
    process.wait()
    with cell_alone(cell):
        pass


def test_a_cell_needs_its_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = tmp_path / "suite" / "cell"
    with pytest.raises(ConfigError, match="No such file or directory: every machine must see the folder of --out"):
        require_head(cell)
    with suite_alone(cell.parent):
        require_head(cell)
        with pytest.raises(ConfigError, match="another process runs this suite here"):
            suite_alone(cell.parent).__enter__()
        monkeypatch.setattr(
            fcntl, "flock", lambda *_: None
        )  # as on a file system whose locks do not reach this machine
        with pytest.raises(ConfigError, match=r"\.lock is free: the command that runs the suite has ended, or file"):
            require_head(cell)


class Says:
    """An engine that says given events of its cells and runs nothing."""

    def __init__(self, *events: dict[str, Any]) -> None:
        self._events = events

    def run(self, requests: Sequence[Request], handle: Handle) -> None:
        for request in requests:
            for event in self._events:
                handle({"index": request["index"], **event})


def test_what_the_runner_makes_of_events(
    write_suite: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "PATIENCE", 0.1)
    start = {"event": "start", "versions": 4}
    engine = Says(start, {"event": "problem", "message": "a node is away"}, start, {"event": "end", "taken": 0})
    suite, quiet = load_suite(write_suite("zero-shot")), Counting()
    (outcome,) = run_suite(
        suite, RunOptions(tmp_path, CPU, f"sqlite:///{tmp_path}/m.db", engine=engine), quiet
    ).outcomes
    assert outcome.status == "failed"
    assert "its process says that it is finished, which is not seen here; the same command goes on" in outcome.error
    assert quiet.problems[0] == "a node is away"
    assert quiet.starts == 1


class Counting(Quiet):
    """Counts how often cells begin."""

    starts = 0

    def on_cell_start(self, index: int, cell: Any, versions: int) -> None:
        self.starts += 1
