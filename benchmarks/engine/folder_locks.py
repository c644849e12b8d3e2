"""Locks on the folders of a suite and of its cells: who runs what, on any machine that sees the folders.

    <suite>/.lock              held by the process that runs the suite, for as long as it does
    <suite>/.locks/<cell>      held by the process that computes the cell

A lock goes with its process, however that ends.
"""

import contextlib
import fcntl
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

from clbench.core.errors import ClbenchError, ConfigError

PATIENCE = 60.0
"""Seconds to wait for a process that is being ended, and for the lock of a node that died."""


@contextlib.contextmanager
def suite_alone(folder: Path) -> Iterator[None]:
    """Be the only process that runs the suite of a folder.

    Raises:
        ConfigError: When another process does.
        ClbenchError: When the folder cannot be written.
    """
    with _held(folder / ".lock", 0.0) as other:
        if other is not None:
            raise ConfigError(f"{folder}: another process runs this suite here; wait for it or choose another --out")
        yield


@contextlib.contextmanager
def cell_alone(folder: Path) -> Iterator[None]:
    """Be the only process that computes the cell of a folder; waits a minute for one that may be ending.

    Raises:
        ClbenchError: When another process goes on computing it, or the folder cannot be written.
    """
    with _held(folder.parent / ".locks" / folder.name, PATIENCE) as other:
        if other is not None:
            raise ClbenchError(f"{folder}: another process computes this cell ({other}); end it, or wait for it")
        yield


def require_head(folder: Path) -> None:
    """Refuse to compute the cell of a folder where nobody runs its suite, as far as this machine can see.

    Raises:
        ConfigError: When this machine does not have the folder, or its lock is free: the process that runs the suite
            has ended, or locks do not reach from its machine to this one.
    """
    lock = folder.parent / ".lock"
    try:
        handle = lock.open("r+")
    except OSError as error:
        raise ConfigError(
            f"{platform.node()}: {lock}: {error.strerror}: every machine must see the folder of --out under one path"
        ) from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return
    raise ConfigError(
        f"{platform.node()}: {lock} is free: the command that runs the suite has ended, or file locks do not reach "
        "this machine; see docs/cluster.md"
    )


@contextlib.contextmanager
def _held(path: Path, patience: float) -> Iterator[str | None]:
    """Hold a lock; gives None, or who holds it if that does not change within `patience` seconds."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise ClbenchError(f"{path.parent}: cannot be written: {error.strerror}") from None
    with handle:
        deadline = time.monotonic() + patience
        while not _taken(handle.fileno()):
            if time.monotonic() >= deadline:
                handle.seek(0)
                yield handle.read().strip() or "on an unknown machine"
                return
            time.sleep(0.2)
        handle.truncate(0)
        handle.write(f"process {os.getpid()} on {platform.node()}{_job()}\n")
        handle.flush()
        yield None


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _job() -> str:
    job = os.environ.get("SLURM_JOB_ID")
    return f", SLURM job {job}" if job else ""
