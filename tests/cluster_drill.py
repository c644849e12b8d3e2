"""A suite of 40 small cells on a real cluster that is damaged on the way: `python tests/cluster_drill.py ray|slurm`.

The cluster is started for the drill, on this machine, and needs no rights besides those to start its programs: Ray with
two simulated nodes (`pip install clbench[ray]`), or a SLURM controller with one node (`apt-get install slurmctld slurmd
slurm-client munge`). Ray: one node is killed in the middle, then the process of a cell, then the head. SLURM: a job is
cancelled, a time limit strikes, the process of a cell is killed, the command is interrupted and killed. Afterwards the
ledgers must be equal to the bit to those of a run with `--engine local`. Exit status 1 when something is wrong.
"""

import argparse
import asyncio
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil
import yaml

TESTS = Path(__file__).parent
SLOW = '''"""Fine-tuning that takes its time."""
import time
from clbench.core.registry import STRATEGIES
from clbench.strategies._training.gradient import GradientConfig, GradientStrategy

@STRATEGIES.register("slow", config=GradientConfig)
class Slow(GradientStrategy[GradientConfig]):
    """Fine-tuning with a rest after each step."""
    def after_step(self, task, step):
        time.sleep(0.1)
'''
SLURM_CONF = """ClusterName=drill
SlurmctldHost={host}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge
CredType=cred/munge
SlurmctldPort={port}
SlurmdPort={other_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
KillWait=5
OverTimeLimit=0
SlurmdParameters=config_overrides
NodeName={host} CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""

MARK = "CLBENCH_DRILL"
EMPTY_CELL = """read request
echo "{\\"index\\": $SLURM_ARRAY_TASK_ID, \\"event\\": \\"start\\"}"
echo "{\\"index\\": $SLURM_ARRAY_TASK_ID, \\"event\\": \\"end\\"}"
"""


class Drill:
    """A folder with the suite and its runs, and what was not as it should be."""

    def __init__(self, folder: Path, seeds: int) -> None:
        self.folder = folder
        self.bad: list[str] = []
        self._started: list[subprocess.Popen[str]] = []
        self.cells = 10 * seeds
        self.suite = _write_suite(folder, seeds)
        for name in ("ray", "ray2", "slurm", "slurm2", "slurm3", "cluster"):
            shutil.rmtree(folder / name, ignore_errors=True)
        self.mark = os.environ[MARK] = str(folder)  # which every process that is started from here has

    def start(self, out: str, *options: str, **variables: str) -> "subprocess.Popen[str]":
        """Start `clbench run` on the suite."""
        command = [sys.executable, "-m", "clbench", "run", str(self.suite), "--out", str(self.folder / out), *options]
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **variables},
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def stop(self) -> None:
        """End the commands that still run."""
        for process in self._started:
            process.kill()

    def end(self, process: "subprocess.Popen[str]", what: str, status: int, *lines: str) -> None:
        """Wait for a command and check its status and the lines of failed cells that it prints."""
        began = time.monotonic()
        _, errors = process.communicate()
        told = [line for line in errors.splitlines() if line.startswith(("failed:", "error:", "interrupted:"))]
        print(f"{what}: status {process.returncode}, {time.monotonic() - began:.0f} s more", flush=True)
        for line in told[:4]:
            print(f"    {line.replace(str(self.folder), '...')}", flush=True)
        if len(told) > 4:
            print(f"    ... {len(told)} such lines", flush=True)
        self.check(process.returncode == status, f"{what}: wanted status {status}: {errors[-2000:]}")
        for line in lines:
            self.check(any(line in one for one in told), f"{what}: wanted a line with {line!r}")
        self.check("Traceback" not in errors, f"{what}: a traceback: {errors[-2000:]}")

    def check(self, right: bool, otherwise: str) -> None:
        """Keep and print what is not as it should be."""
        if not right:
            self.bad.append(otherwise)
            print(f"WRONG: {otherwise}", flush=True)

    def compare(self, out: str, cells: int) -> None:
        """Compare the cells of a run with those of the local one."""
        command = [sys.executable, str(TESTS / "compare_runs.py"), str(self.folder / "local"), str(self.folder / out)]
        done = subprocess.run(command, capture_output=True, text=True)
        equal = sum("equal to the bit, " in line for line in done.stdout.splitlines())
        print(f"{out} against local: {equal} of {cells} cells are equal to the bit", flush=True)
        self.check(equal == cells, done.stdout)

    def finished(self, out: str) -> int:
        """Number of cells that are finished."""
        return len(list((self.folder / out).glob("forty/*--seed*/ledger.parquet")))


def _write_suite(folder: Path, seeds: int) -> Path:
    made_up = import_module("kill_drill")  # beside this file
    if not (folder / "data").exists():
        made_up.write_data(folder / "data")
    (folder / "slow.py").write_text(SLOW)
    card = {
        "name": "patterns",
        "description": "Patterns under noise.",
        "loader": "image-parquet",
        "data": "data",
        "learner": str(made_up.LEARNER),
        "protocols": ["task-id", "union"],
        "order_reason": "none",
        "tasks": [{**task, "templates": ["a {}"]} for task in made_up.TASKS],
    }
    (folder / "patterns.yaml").write_text(yaml.safe_dump(card))
    slow = str(folder / "slow.py")
    names = [("finetune", 3), ("replay", 2), ("ewc", 2), (slow, 3)]
    entries = [{"name": name, "lr": 10.0 ** -(3 + number)} for name, count in names for number in range(count)]
    suite = {
        "streams": [str(folder / "patterns.yaml")],
        "strategies": entries,
        "seeds": list(range(seeds)),
        "budget": {"steps": 8, "batch_size": 8},
        "threads": 1,
    }
    (path := folder / "forty.yaml").write_text(yaml.safe_dump(suite))
    return path


def until(what: str, true: Callable[[], Any], seconds: float = 300) -> Any:
    """Wait until something is true, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(0.1)
    return found


def workers_of(drill: Drill) -> list[psutil.Process]:
    """The processes that run cells of this drill now."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            own = process.environ().get(MARK) == drill.mark
            if own and "clbench.benchmarks.engine.worker" in process.cmdline():
                found.append(process)
    return found


def in_the_middle(drill: Drill, out: str, below: psutil.Process | None = None) -> psutil.Process | None:
    """A process whose cell has its first versions and not yet its last one.

    Args:
        drill: The drill.
        out: Name of the run.
        below: A process that it must descend from.
    """
    folder = drill.folder / out / drill.suite.stem
    cells = {lock.read_text().partition(" on ")[0]: lock.name for lock in (folder / ".locks").glob("*")}
    for process in workers_of(drill):
        versions = folder / cells.get(f"process {process.pid}", "none") / "versions"
        with suppress(psutil.Error):
            right = below is None or below in process.parents()
            if right and (versions / "0000").is_dir() and not (versions / "0002").is_dir():
                return process
    return None


# Ray


@contextmanager
def ray_cluster(cpus: int = 1) -> Iterator[Any]:
    """A head without room for cells, and two nodes with room for some each."""
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        cluster.add_node(num_cpus=0, include_dashboard=False)
        for _ in range(2):
            cluster.add_node(num_cpus=cpus)
        yield cluster
    finally:
        cluster.shutdown()


def kill_node(node: Any) -> int:
    """Kill all processes of a simulated node at once; returns how many these were."""
    roots = [psutil.Process(info.process.pid) for kind in node.all_processes.values() for info in kind]
    victims = [*roots, *(child for root in roots for child in root.children(recursive=True))]
    for process in victims:
        process.kill()
    return len(victims)


def drill_ray(drill: Drill) -> None:
    """One node, one process and the head are killed."""
    ten = ("--engine", "ray", "--seeds", "0")
    with ray_cluster() as cluster:
        run = drill.start("ray", "--engine", "ray", RAY_ADDRESS=cluster.address)
        until("a quarter of the cells", lambda: drill.finished("ray") >= drill.cells // 4)
        node = next(iter(cluster.worker_nodes))
        raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
        own = until("a cell there", lambda: in_the_middle(drill, "ray", raylet))
        print(f"a node is killed: {kill_node(node)} processes, after {drill.finished('ray')} cells", flush=True)
        drill.end(run, "ray, one of two nodes killed", 0)
        drill.check(not own.is_running(), "a process of the dead node still runs")
        drill.compare("ray", drill.cells)
        cluster.add_node(num_cpus=1)
        run = drill.start("ray2", *ten, RAY_ADDRESS=cluster.address)
        until("a finished cell", lambda: drill.finished("ray2") >= 1)
        until("a cell", lambda: in_the_middle(drill, "ray2")).kill()
        until("three cells", lambda: drill.finished("ray2") >= 3)
        second = drill.start("ray2", *ten, RAY_ADDRESS=cluster.address)
        drill.end(second, "a second head on the same suite", 2, "another process runs this suite here")
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does
        drill.end(run, "ray, a process killed, then Ctrl-C", 130, "interrupted")
        until("no process of a cell", lambda: not workers_of(drill), 30)
        run = drill.start("ray2", *ten, RAY_ADDRESS=cluster.address)
        until("five cells", lambda: drill.finished("ray2") >= 5)
        print(f"the head is killed: {kill_node(cluster.head_node)} processes", flush=True)
        drill.end(run, "ray, the head killed", 2, "does not answer any more")
        run = drill.start("ray2", *ten, RAY_ADDRESS=cluster.address)
        drill.end(run, "ray, a head that does not answer", 2, "does not answer within")
    with ray_cluster() as cluster:
        drill.end(drill.start("ray2", *ten, RAY_ADDRESS=cluster.address), "ray, the same command again", 0)
    drill.compare("ray2", 10)


# SLURM


@contextmanager
def slurm_cluster(folder: Path, cpus: int = 2) -> Iterator[None]:
    """A controller and one node with room for some cells, and `SLURM_CONF` set to them."""
    import getpass
    import platform

    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    for above in (folder, folder.parent):  # munge wants that all users can reach its socket
        above.chmod(0o755)
    (folder / "key").write_bytes(os.urandom(128))
    (folder / "key").chmod(0o600)
    ports = {"port": 20000 + os.getpid() % 20000 * 2, "other_port": 20001 + os.getpid() % 20000 * 2}
    host = platform.node().partition(".")[0]
    conf = SLURM_CONF.format(host=host, user=getpass.getuser(), folder=folder, cpus=cpus, **ports)
    (folder / "slurm.conf").write_text(conf)
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    files = {
        "socket": "munge",
        "key-file": "key",
        "pid-file": "munge.pid",
        "log-file": "munge.log",
        "seed-file": "seed",
    }
    options = [f"--{option}={folder / name}" for option, name in files.items()]
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    daemons = (["munged", "--foreground", *options], ["slurmctld", "-D"], ["slurmd", "-D"])
    running = []
    try:
        for command in daemons:
            with (folder / f"{command[0]}.out").open("wb") as log:
                running.append(subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "PATH": path}))
            time.sleep(2)
        until("an idle node", lambda: "idle" in slurm("sinfo", "--noheader"), 60)
        yield
    finally:
        slurm("scancel", f"--user={os.getuid()}")
        with suppress(TimeoutError):
            until("no job", lambda: not slurm("squeue", "--noheader"), 30)
        for process in reversed(running):
            process.terminate()
            process.wait()


def slurm(*command: str) -> str:
    """What a command of SLURM prints."""
    return subprocess.run(command, capture_output=True, text=True).stdout


def job_of(process: psutil.Process) -> str:
    """The name of the job that a process belongs to; empty if it has just ended."""
    with suppress(psutil.Error):
        variables = process.environ()
        return f"{variables['SLURM_ARRAY_JOB_ID']}_{variables['SLURM_ARRAY_TASK_ID']}"
    return ""


def drill_slurm(drill: Drill) -> None:
    """A job is cancelled, one meets its time limit, one is killed; the command is interrupted and killed."""
    ten = ("--engine", "slurm", "--seeds", "0")
    with slurm_cluster(drill.folder / "cluster"):
        run = drill.start("slurm", "--engine", "slurm")
        until("a fifth of the cells", lambda: drill.finished("slurm") >= drill.cells // 5)
        job = job_of(until("a cell", lambda: in_the_middle(drill, "slurm")))
        slurm("scancel", job)
        print(f"scancel {job}", flush=True)
        until("more cells", lambda: drill.finished("slurm") >= drill.cells // 3)
        until("a cell", lambda: in_the_middle(drill, "slurm")).kill()
        held = until("another cell", lambda: in_the_middle(drill, "slurm"))
        held.suspend()
        job = job_of(held)
        slurm("scontrol", "update", f"JobId={job}", "TimeLimit=1")
        print(f"the process of a cell killed; that of {job} held until the limit of a minute strikes", flush=True)
        second = drill.start("slurm", "--engine", "slurm")
        drill.end(second, "a second head on the same suite", 2, "another process runs this suite here")
        lines = ("was cancelled", "ran into its time limit", "by signal 9 (perhaps for memory)")
        drill.end(run, "slurm, a job cancelled, one killed, one out of time", 2, *lines)
        drill.check(drill.finished("slurm") == drill.cells - 3, f"finished cells: {drill.finished('slurm')}")
        drill.end(drill.start("slurm", "--engine", "slurm"), "slurm, the same command again", 0)
        drill.compare("slurm", drill.cells)
        run = drill.start("slurm2", *ten)
        until("two cells", lambda: drill.finished("slurm2") >= 2)
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does
        drill.end(run, "slurm, Ctrl-C", 130, "interrupted")
        until("no job", lambda: not slurm("squeue", "--noheader"), 30)
        run = drill.start("slurm2", *ten)
        until("five cells", lambda: drill.finished("slurm2") >= 5)
        run.kill()
        run.communicate()
        print(f"the command killed: {len(slurm('squeue', '--noheader', '--array').splitlines())} jobs left", flush=True)
        drill.end(drill.start("slurm2", *ten), "slurm, the same command again", 0)
        drill.compare("slurm2", 10)
    drill.end(drill.start("slurm3", "--engine", "slurm"), "slurm without a controller", 2, "error: SLURM:")


# Scheduling alone


def nothing(request: str, cwd: str) -> Iterator[str]:
    """Stands in for a cell: begins and ends."""
    for event in ("start", "end"):
        yield json.dumps({"index": json.loads(request)["index"], "event": event})


def schedule(engine: str, cells: int, folder: Path) -> int:
    """Measure what an engine takes for cells that do nothing; returns how many ended."""
    requests = [{"index": index, "cell": {"threads": 1}, "device": "cpu"} for index in range(cells)]
    ends: list[float] = []

    def handle(event: Any) -> None:
        if event["event"] == "end":
            ends.append(time.monotonic())

    began = time.monotonic()
    if engine == "slurm":
        from clbench.benchmarks.engine.engines import slurm_jobs

        (worker := folder / "worker.sh").write_text(EMPTY_CELL)
        with slurm_cluster(folder / "cluster", 64), patch.object(slurm_jobs, "COMMAND", ("sh", str(worker))):
            began = time.monotonic()
            slurm_jobs.SlurmJobs(folder / "suite").run(requests, handle)
    else:
        import ray

        from clbench.benchmarks.engine.engines import ray_driver

        with ray_cluster(4) as cluster, patch.object(ray_driver, "run_cell", nothing):
            ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
            began = time.monotonic()
            asyncio.run(ray_driver.run_cells({"requests": requests, "cwd": str(folder), "limit": None}, handle))
            ray.shutdown()
    seconds = ends[-1] - began
    own = resource.getrusage(resource.RUSAGE_SELF)
    print(
        f"{engine}: {len(ends)} cells that do nothing in {seconds:.1f} s; the first ended after {ends[0] - began:.1f} s"
    )
    print(f"processor time of the command itself: {own.ru_utime + own.ru_stime:.1f} s")
    return len(ends)


def main() -> int:
    """Parse the arguments and run the drill."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=("ray", "slurm"))
    parser.add_argument("--seeds", type=int, default=4, help="seeds of the suite, of ten cells each")
    parser.add_argument("--schedule", type=int, metavar="CELLS", help="only measure scheduling, with empty cells")
    parser.add_argument("--folder", type=Path, help="where everything stays, so that the local run is not repeated")
    asked = parser.parse_args()
    engine = asked.engine
    with nullcontext(asked.folder) if asked.folder else tempfile.TemporaryDirectory() as folder:
        if asked.schedule:
            return int(schedule(engine, asked.schedule, Path(folder).resolve()) != asked.schedule)
        drill = Drill(Path(folder).resolve(), asked.seeds)
        began = time.monotonic()
        drill.end(drill.start("local", "--workers", "2"), "local", 0)
        print(f"local: {drill.finished('local')} cells in {time.monotonic() - began:.0f} s", flush=True)
        try:
            (drill_ray if engine == "ray" else drill_slurm)(drill)
        finally:
            drill.stop()
    print("all as it should be" if not drill.bad else f"{len(drill.bad)} things are not as they should be")
    return int(bool(drill.bad))


if __name__ == "__main__":
    sys.exit(main())
