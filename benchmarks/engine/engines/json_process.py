"""A child process that is asked and answers in JSON lines, seen from both sides."""

import contextlib
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any, TextIO

Events = Queue[dict[str, Any]]
PATIENCE = 10.0
"""Seconds in which a process that is ended must end."""


class JsonProcess:
    """A process whose standard output are events, and whose standard input says what it shall do.

    Args:
        command: The command.
        events: Gets the events of the process, each with the process under `process`; the last one is `died` with its
            `status`.
        environment: Variables that it sees besides those of this process.
        log: File for its standard error; None leaves that of this process.
    """

    def __init__(
        self,
        command: Sequence[str],
        events: Events,
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
    ) -> None:
        with contextlib.ExitStack() as files:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=files.enter_context(log.open("wb")) if log else None,
                text=True,
                encoding="utf-8",
                env={**os.environ, **(environment or {})},
                process_group=0,  # Ctrl-C reaches the parent alone, which ends this process
            )
        self._events = events
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def ask(self, request: Mapping[str, Any]) -> None:
        """Tell it what to do."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has died; its end is told by the event `died`
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()

    def stop(self) -> None:
        """End the process, in the middle of its work too."""
        end(self._process)
        self._reader.join()
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._events.put({**json.loads(line), "process": self})
        self._events.put({"event": "died", "status": self._process.wait(), "process": self})


def end(process: "subprocess.Popen[Any]") -> None:
    """End a process, in the middle of its work too; kill it if it does not end in time."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def asked() -> Iterator[dict[str, Any]]:
    """In the child: what standard input asks for, one request after another.

    If it is a pipe and the process at its other end ends, this one ends at once, in the middle of its work too.
    """
    if not stat.S_ISFIFO(os.fstat(0).st_mode):  # a file, such as that of a SLURM job
        yield from map(json.loads, sys.stdin)
        return
    lines: Queue[str] = Queue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)
        os._exit(0)

    Thread(target=read, daemon=True).start()
    while True:
        yield json.loads(lines.get())


def own_standard_output() -> TextIO:
    """In the child: standard output for events alone; what libraries print goes to standard error."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return events
