"""The Ray engine: the command of a cell, what the driver says and how it may end; a small cluster where Ray is there.

`tests/cluster_drill.py ray` kills nodes of a real one.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.benchmarks.test_runner import Quiet
from tests.benchmarks.test_side_by_side import DIES
from tests.benchmarks.test_slurm_jobs import Told, requests

from clbench.benchmarks.engine.engines import ray_cell, ray_tasks
from clbench.benchmarks.engine.engines.ray_cell import run_cell
from clbench.benchmarks.engine.engines.ray_tasks import RayTasks
from clbench.benchmarks.engine.runner import RunOptions, run_suite
from clbench.benchmarks.engine.suite import load_suite
from clbench.core.errors import ClbenchError, ConfigError

WORKER = """
import json, os, signal, sys
index = json.loads(sys.stdin.readline())["index"]
def tell(event): print(json.dumps({"index": index, "event": event}), flush=True)
tell("start")
if index == 1: os.kill(os.getpid(), signal.SIGKILL)
tell("end")
"""
DRIVER = """
import json, sys, time
asked = json.loads(sys.stdin.readline())
open("asked.json", "w").write(json.dumps(asked))
for event in EVENTS: print(json.dumps(event), flush=True)
time.sleep(SECONDS)
"""
CONNECTED = {"event": "connected"}
END = {"event": "end", "index": 0, "taken": 0}


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a suite, in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ray_tasks, "find_spec", lambda name: name)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (folder := tmp_path / "suite").mkdir()
    return folder


def play(monkeypatch: pytest.MonkeyPatch, *events: Any, seconds: float = 0) -> None:
    """Let a program that says these events stand in for the driver."""
    program = DRIVER.replace("EVENTS", repr(events)).replace("SECONDS", str(seconds))
    monkeypatch.setattr(ray_tasks, "DRIVER", (sys.executable, "-c", program))


def test_a_task_is_the_command_of_a_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cell, "COMMAND", (sys.executable, "-c", WORKER))
    events = [[json.loads(line) for line in run_cell(json.dumps(asked), str(tmp_path))] for asked in requests(0, 1)]
    assert [event["event"] for event in events[0]] == ["start", "end"]
    assert events[1][1] == {"event": "died", "status": -9}


def test_the_driver_is_asked_once_and_ended(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, CONNECTED, END, seconds=60)
    RayTasks(suite, limit=3).run(requests(0), told := Told())
    assert told.events == [END]
    asked = json.loads(Path("asked.json").read_text())
    assert asked == {"address": "auto", "requests": requests(0), "limit": 3, "cwd": str(suite.parent)}


def test_a_head_that_refuses_or_does_not_answer_is_one_line(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "far:6379")
    play(monkeypatch, {"event": "refused", "message": "no"}, seconds=60)
    with pytest.raises(ClbenchError, match=r"^the head of the Ray cluster at far:6379 does not answer: no$"):
        RayTasks(suite).run(requests(0), Told())
    monkeypatch.setattr(ray_tasks, "ANSWER", 0.2)
    play(monkeypatch, seconds=60)
    with pytest.raises(ClbenchError, match=r"the head of the Ray cluster at far:6379 does not answer within 0.2 s"):
        RayTasks(suite).run(requests(0), Told())
    monkeypatch.setattr(ray_tasks, "ANSWER", 20)
    play(monkeypatch)
    with pytest.raises(ClbenchError, match=r"the head of the Ray cluster at far:6379 cannot be used \(see "):
        RayTasks(suite).run(requests(0), Told())


def test_a_head_that_goes_away_fails_the_cells_that_are_left(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, CONNECTED, END)
    RayTasks(suite).run(requests(0, 1, 2), told := Told())
    assert told.ends[0] == ""
    assert told.ends[1] == told.ends[2]
    assert told.ends[1].startswith("the Ray cluster at auto does not answer any more (see ")


def test_what_cannot_be_used_is_one_line(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://far:10001")
    with pytest.raises(ConfigError, match="RAY_ADDRESS must be the address of a head, HOST:PORT"):
        RayTasks(suite)
    monkeypatch.setattr(ray_tasks, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="ray is not installed: pip install"):
        RayTasks(suite)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a cluster of one node with two processors."""
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    monkeypatch.setenv("RAY_ADDRESS", made.address)
    yield made.address
    made.shutdown()


@pytest.mark.slow
def test_a_cluster_runs_a_suite(cluster: str, write_suite: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "dies.py").write_text(DIES)
    suite = load_suite(write_suite("finetune", str(tmp_path / "dies.py"), threads=1))
    options = RunOptions(
        tmp_path / "out",
        torch.device("cpu"),
        f"sqlite:///{tmp_path}/mlflow.db",
        engine=RayTasks(tmp_path / "out" / suite.name),
    )
    result = run_suite(suite, options, Quiet())
    assert [outcome.status for outcome in result.outcomes] == ["finished", "failed"]
    assert "ended by signal 9 (perhaps for memory)" in result.outcomes[1].error
