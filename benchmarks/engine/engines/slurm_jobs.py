"""The engine of a SLURM cluster: one task of a job array for each cell, watched by `squeue`.

    <suite>/.slurm/<array>/<task>.json     what the worker of a cell is asked
    <suite>/.slurm/<array>/<task>.events   what it says, one JSON object a line
    <suite>/.slurm/<array>/<task>.log      what else it printed

All lie in the run's folder, which the nodes must see under the same path. SLURM's own variables choose the rest
(`SBATCH_PARTITION`, `SBATCH_TIMELIMIT`, ...: see `man sbatch`).
"""

import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from clbench.benchmarks.engine.engines.protocol import COMMAND, ENDS, Event, Handle, Request, death, failed
from clbench.benchmarks.engine.folder_locks import PATIENCE
from clbench.core.errors import ClbenchError

MOST = 1000
"""Most tasks of one array: SLURM's own limit (MaxArraySize) is 1001 unless a cluster has another one."""
LOOK = 1.0
"""Seconds between two looks at the events of running jobs."""
ASK = 5.0
"""Seconds between two questions to SLURM."""
TIMEOUT = 120.0
"""Seconds that SLURM has for an answer."""
ENDED = {
    "BOOT_FAIL": "had a node that did not boot",
    "CANCELLED": "was cancelled",
    "COMPLETED": "ended without a result",
    "DEADLINE": "missed its deadline",
    "FAILED": "failed",
    "NODE_FAIL": "lost its node",
    "OUT_OF_MEMORY": "was killed for memory",
    "PREEMPTED": "was preempted",
    "TIMEOUT": "ran into its time limit",
    "UNKNOWN": "is not known to SLURM any more",
}
PASSING = {"None", "Priority", "Resources", "JobArrayTaskLimit", "BeginTime", "Dependency", "Cleaning", "Licenses"}
"""Reasons to wait that pass by themselves."""


class _State(NamedTuple):
    """What SLURM says of a job.

    Attributes:
        name: Name of the state, in capitals.
        status: Status of its process as `os.wait` gives it.
        reason: Why it waits, or has ended.
    """

    name: str
    status: int = 0
    reason: str = "None"


@dataclass
class _Job:
    """A task of an array.

    Attributes:
        array: Number of the array.
        task: Number of the task in the array.
        index: Place of the cell in the suite.
        files: Path of its files without their suffix.
        read: Number of bytes of its events that were passed on.
        end: The state in which SLURM has once said that it ended; None before.
    """

    array: str
    task: int
    index: int
    files: Path
    read: int = 0
    end: _State | None = None

    def events(self) -> list[Event]:
        """The events that have come since the last call."""
        try:
            with self.files.with_suffix(".events").open("rb") as file:  # opened anew, so that NFS asks the server
                file.seek(self.read)
                whole, newline, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return []
        self.read += len(whole) + len(newline)
        return [event for line in whole.splitlines() if (event := _event(line))]

    def how_it_ended(self, state: _State) -> str:
        """One line for a job that has ended without saying so itself."""
        how = ENDED[state.name]
        if state.name == "FAILED":
            how = f"failed: {death(os.waitstatus_to_exitcode(state.status))}"
        return f"SLURM job {self.array}_{self.task} {how} (see {self.files.with_suffix('.log')})"


class SlurmJobs:
    """Runs each cell as one task of a job array.

    Args:
        folder: Folder of the suite.
        limit: Most cells at a time; None leaves it to SLURM.
    """

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        self._scratch = folder.absolute() / ".slurm"
        self._limit = limit
        digest = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]
        self._name = f"clbench-{re.sub(r'[^A-Za-z0-9_.-]', '_', folder.name)}-{digest}"

    def run(self, requests: Sequence[Request], handle: Handle) -> None:
        """Run cells: see `Engine.run`."""
        if not requests:
            return
        self._cancel()  # jobs of an earlier command that was killed
        self._wait_for_the_end()
        shutil.rmtree(self._scratch, ignore_errors=True)
        try:
            jobs = []
            for number, same in enumerate(_arrays(requests)):
                jobs += self._submit(self._scratch / str(number), same)
            failures = self._watch(jobs, handle)
        except BaseException:
            try:
                self._cancel()
            except ClbenchError as error:
                handle({"event": "problem", "message": f"{error}; jobs of the suite may go on"})
            raise
        if not failures:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _submit(self, folder: Path, requests: Sequence[Request]) -> list[_Job]:
        """Submit an array whose tasks need the same resources."""
        folder.mkdir(parents=True)
        for number, request in enumerate(requests):
            (folder / f"{number}.json").write_text(json.dumps(request) + "\n", encoding="utf-8")
        script = folder / "job.sh"
        asked = f'{shlex.quote(str(folder))}/"$SLURM_ARRAY_TASK_ID".json'
        # The empty line ends one that an earlier attempt at the job could not finish.
        script.write_text(f"#!/bin/sh\necho\nexec {shlex.join(COMMAND)} < {asked}\n", encoding="utf-8")
        pattern = str(folder).replace("%", "%%")
        limit = f"%{self._limit}" if self._limit else ""
        threads, device = _resources(requests[0])
        array, _, _ = _call(
            "sbatch",
            "--parsable",
            "--requeue",
            "--open-mode=append",
            f"--array=0-{len(requests) - 1}{limit}",
            f"--job-name={self._name}",
            f"--chdir={Path.cwd()}",
            f"--output={pattern}/%a.events",
            f"--error={pattern}/%a.log",
            "--nodes=1",
            "--ntasks=1",
            f"--cpus-per-task={threads}",
            *(["--gres=gpu:1"] if device == "cuda" else []),
            str(script),
        ).partition(";")  # a cluster's name may follow
        return [
            _Job(array.strip(), task, request["index"], folder / str(task)) for task, request in enumerate(requests)
        ]

    def _watch(self, jobs: Sequence[_Job], handle: Handle) -> int:
        """Pass on events until each job has ended; returns how many of the cells failed."""
        open_jobs, told, failures, asked = list(jobs), set[str](), 0, time.monotonic()
        states: Mapping[tuple[str, str], _State] | None = None
        while open_jobs:
            time.sleep(LOOK)
            news = time.monotonic() - asked >= ASK
            if news:
                asked = time.monotonic()
                try:
                    states = self._states()
                except ClbenchError as error:  # jobs go on without the controller, and so do their events
                    news = False
                    _tell_once(f"{error}; jobs that run go on", told, handle)
            still_open = []
            for job in open_jobs:
                state = _state_of(job, states)
                if state.name == "PENDING":
                    if state.reason not in PASSING:
                        _tell_once(f"SLURM lets jobs of the suite wait: {state.reason}", told, handle)
                    still_open.append(job)
                elif (end := _pass_on(job, state, news, handle)) is None:
                    still_open.append(job)
                else:
                    failures += end == "failed"
            open_jobs = still_open
        return failures

    def _states(self) -> dict[tuple[str, str], _State]:
        """What SLURM says of the jobs of this suite that it still knows, by array and task."""
        wanted = "ArrayJobID:20,ArrayTaskID:20,State:20,exit_code:12,Reason:80"
        answer = self._squeue("--array", "--states=all", f"--Format={wanted}")
        found = {}
        for line in answer.splitlines():
            array, task, state, status, reason = line.split(maxsplit=4)
            found[array, task] = _State(state, int(status), reason.strip())
        return found

    def _squeue(self, *options: str) -> str:
        return _call("squeue", "--noheader", f"--user={os.getuid()}", f"--name={self._name}", *options)

    def _cancel(self) -> None:
        _call("scancel", f"--user={os.getuid()}", f"--name={self._name}")

    def _wait_for_the_end(self) -> None:
        """Wait until all jobs of the suite that were cancelled have ended.

        Raises:
            ClbenchError: When they do not.
        """
        deadline = time.monotonic() + 2 * PATIENCE
        while rest := self._squeue("--array", "--format=%i"):
            if time.monotonic() > deadline:
                raise ClbenchError(
                    f"SLURM: jobs of an earlier call of this command do not end: {' '.join(rest.split())}"
                )
            time.sleep(LOOK)


def _arrays(requests: Sequence[Request]) -> Iterator[Sequence[Request]]:
    """The requests in arrays whose jobs need the same resources."""
    for _, same in groupby(requests, _resources):
        group = list(same)
        for first in range(0, len(group), MOST):
            yield group[first : first + MOST]


def _resources(request: Request) -> tuple[int, str]:
    """Number of threads and kind of device that a cell needs."""
    return (request["cell"]["threads"] or 1) * request["cell"]["processes"], request["device"]


def _state_of(job: _Job, states: Mapping[tuple[str, str], _State] | None) -> _State:
    """The state of a job, which waits before SLURM was asked first."""
    if states is None:
        return _State("PENDING")
    whole = states.get((job.array, "N/A"))  # of tasks that were cancelled before they began
    return states.get((job.array, str(job.task))) or whole or _State("UNKNOWN")


def _pass_on(job: _Job, state: _State, news: bool, handle: Handle) -> str | None:
    """Pass on what a job has said since the last look.

    Args:
        job: The job.
        state: Its state.
        news: Whether SLURM has just been asked for it.
        handle: Gets the events.

    Returns:
        The kind of its last event if it has ended.
    """
    for event in job.events():
        handle(event)
        if event["event"] in ENDS:
            return str(event["event"])
    if not news:
        return None
    if job.end is None or state.name not in ENDED:  # its last words may still be on their way through a file system
        job.end = state if state.name in ENDED else None
        return None
    handle(failed(job.index, job.how_it_ended(job.end)))
    return "failed"


def _event(line: bytes) -> Event | None:
    """The event of a line; None for what a job that was requeued in the middle of a line has left."""
    with contextlib.suppress(ValueError):
        found = json.loads(line)
        return found if isinstance(found, dict) else None
    return None


def _tell_once(message: str, told: set[str], handle: Handle) -> None:
    if message not in told:
        told.add(message)
        handle({"event": "problem", "message": message})


def _call(*command: str) -> str:
    """What a command of SLURM prints.

    Raises:
        ClbenchError: When it is not there or refuses.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except FileNotFoundError:
        raise ClbenchError(f"SLURM: {command[0]} is not on this machine") from None
    except subprocess.TimeoutExpired:
        raise ClbenchError(f"SLURM: {command[0]} does not answer within {TIMEOUT:g} s") from None
    if done.returncode:
        raise ClbenchError(f"SLURM: {' '.join(done.stderr.split()) or command[0] + ' has failed'}")
    return done.stdout
