"""The SLURM engine: events of jobs, ends that jobs do not tell themselves, cancelling, what sbatch is asked.

SLURM is played by `fake_slurm.py`, the worker by a shell script; `tests/cluster_drill.py slurm` has real ones.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clbench.benchmarks.engine.engines import slurm_jobs
from clbench.benchmarks.engine.engines.slurm_jobs import SlurmJobs
from clbench.core.errors import ClbenchError

WORKER = """
read request
echo "$request" > request.$SLURM_ARRAY_TASK_ID
tell() { echo '{"index": '$SLURM_ARRAY_TASK_ID', "event": "'$1'"'$2'}'; }
tell start ', "versions": 2'
case $SLURM_ARRAY_TASK_ID in
0) tell end ', "taken": 0';;
1) kill -9 $$;;
2) exit 3;;
3) printf '{"index": 3, "eve';;
4) sleep 30;;
esac
"""
Cluster = Path


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A folder with the states of jobs, which a test can change."""
    (programs := tmp_path / "bin").mkdir()
    (states := tmp_path / "states").mkdir()
    source = Path(__file__).with_name("fake_slurm.py").read_text()
    for name in ("sbatch", "squeue", "scancel"):
        (programs / name).write_text(f"#!{sys.executable} -S\n{source}")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("FAKE_SLURM", str(states))
    (worker := tmp_path / "worker.sh").write_text(WORKER)
    monkeypatch.setattr(slurm_jobs, "COMMAND", ("sh", str(worker)))
    monkeypatch.setattr(slurm_jobs, "LOOK", 0.02)
    monkeypatch.setattr(slurm_jobs, "ASK", 0.1)
    monkeypatch.chdir(tmp_path)
    return states


def requests(*numbers: int, threads: int = 1, device: str = "cpu") -> list[dict[str, Any]]:
    return [{"index": number, "cell": {"threads": threads, "processes": 1}, "device": device} for number in numbers]


class Told:
    """Keeps events, and acts when one comes."""

    def __init__(self, act: Callable[[Any], None] = lambda event: None) -> None:
        self.events: list[Any] = []
        self._act = act

    def __call__(self, event: Any) -> None:
        self.events.append(event)
        self._act(event)

    @property
    def ends(self) -> dict[int, str]:
        return {e["index"]: e.get("error", "") for e in self.events if e["event"] in ("end", "failed")}


def test_jobs_say_how_they_end_or_slurm_does(cluster: Cluster, tmp_path: Path) -> None:
    told = Told()
    SlurmJobs(tmp_path / "suite").run(requests(0, 1, 2, 3), told)
    assert told.ends[0] == ""
    assert "SLURM job 1_1 failed: the process of the cell ended by signal 9 (perhaps for memory) (see " in told.ends[1]
    assert "SLURM job 1_2 failed: the process of the cell ended with status 3" in told.ends[2]
    assert "SLURM job 1_3 ended without a result" in told.ends[3]
    assert all(
        line.endswith("; the same command goes on from the last version") for line in list(told.ends.values())[1:]
    )
    assert sorted(e["index"] for e in told.events if e["event"] == "start") == [0, 1, 2, 3]
    assert json.loads((tmp_path / "request.2").read_text()) == requests(2)[0]
    assert (tmp_path / "suite" / ".slurm").is_dir()  # with the logs of what failed
    SlurmJobs(tmp_path / "suite").run(requests(0), told := Told())
    assert told.ends == {0: ""}
    assert not (tmp_path / "suite" / ".slurm").exists()


@pytest.mark.parametrize(
    ("state", "how"),
    [
        ("TIMEOUT", "ran into its time limit"),
        ("CANCELLED", "was cancelled"),
        ("OUT_OF_MEMORY", "was killed for memory"),
    ],
)
def test_an_end_by_slurm_is_one_line(state: str, how: str, cluster: Cluster, tmp_path: Path) -> None:
    def strike(event: Any) -> None:
        if event["event"] == "start" and event["index"] == 1:
            (cluster / "1_1").write_text(f"{state} 0")

    (tmp_path / "worker.sh").write_text(WORKER.replace("1) kill -9 $$", "1) sleep 30"))
    SlurmJobs(tmp_path / "suite").run(requests(0, 1), told := Told(strike))
    assert told.ends[0] == ""
    assert f"SLURM job 1_1 {how} (see " in told.ends[1]


def test_a_job_that_waits_for_ever_and_a_controller_that_goes_away_are_told_once(
    cluster: Cluster, tmp_path: Path
) -> None:
    def act(event: Any) -> None:
        if event["event"] == "start":
            (cluster / "1_4").write_text("PENDING 0 BadConstraints")
        elif "BadConstraints" in event.get("message", ""):
            (cluster / "away").touch()
        elif "Unable to contact" in event.get("message", ""):
            (cluster / "away").unlink()
            (cluster / "1_4").unlink()

    SlurmJobs(tmp_path / "suite").run([*requests(0, 1, 2, 3), requests(4)[0]], told := Told(act))
    problems = [event["message"] for event in told.events if event["event"] == "problem"]
    assert problems[0] == "SLURM lets jobs of the suite wait: BadConstraints"
    assert "Unable to contact slurm controller" in problems[1]
    assert len(problems) == 2
    assert "SLURM job 1_4 is not known to SLURM any more" in told.ends[4]


def test_an_interrupt_cancels_all_jobs_and_the_next_call_begins_anew(cluster: Cluster, tmp_path: Path) -> None:
    def interrupt(event: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SlurmJobs(tmp_path / "suite").run(requests(0, 1, 2, 3, 4), interrupt)
    assert (cluster / "1_4").read_text() == "CANCELLED 15"


def test_what_sbatch_is_asked(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm_jobs, "MOST", 2)
    (tmp_path / "worker.sh").write_text('read request; echo "{\\"event\\": \\"end\\", ${request#?}"')
    asked = [*requests(0, 1, 2, threads=2), *requests(3, device="cuda")]
    SlurmJobs(tmp_path / "my suite", limit=7).run(asked, told := Told())
    assert set(told.ends) == {0, 1, 2, 3}
    calls = [path.read_text().splitlines()[1:] for path in sorted(cluster.glob("*.array"))]
    assert [call[3] for call in calls] == ["--array=0-1%7", "--array=0-0%7", "--array=0-0%7"]
    assert calls[0][4].startswith("--job-name=clbench-my_suite-")
    assert ["--cpus-per-task=2" in call for call in calls] == [True, True, False]
    assert ["--gres=gpu:1" in call for call in calls] == [False, False, True]


def test_a_cluster_without_its_commands_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClbenchError, match=r"^SLURM: scancel is not on this machine$"):
        SlurmJobs(tmp_path / "suite").run(requests(0), Told())
