"""Cells side by side: worker processes, each with one cell at a time, and their events in one queue."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from queue import Queue
from threading import Thread
from typing import Any

Event = Mapping[str, Any]
ENDS = ("end", "failed")


class Worker:
    """One worker process; see the module `worker`.

    Args:
        events: Gets the events of the process, each with the worker under `worker`.
        gpu: Number of the GPU that the process sees; None leaves all.
    """

    def __init__(self, events: "Queue[dict[str, Any]]", gpu: int | None = None) -> None:
        environment = {**os.environ, **({} if gpu is None else {"CUDA_VISIBLE_DEVICES": str(gpu)})}
        command = [sys.executable, "-m", "clbench.benchmarks.engine.worker"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", env=environment
        )
        self._events = events
        self.gpu = gpu
        self.index: int | None = None
        """Index of the cell that it runs; None if it waits."""
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def give(self, request: Mapping[str, Any]) -> None:
        """Let it run a cell."""
        self.index = request["index"]
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has died; its end is told by the event `died`
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()

    def stop(self) -> None:
        """End the process, in the middle of a cell too: finished versions stay."""
        self._process.terminate()
        self._process.wait()
        self._reader.join()
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._events.put({**json.loads(line), "worker": self})
        self._events.put({"event": "died", "status": self._process.wait(), "worker": self})


def run_side_by_side(
    requests: Sequence[Mapping[str, Any]], gpus: Sequence[int | None], handle: Callable[[Event], None]
) -> None:
    """Run cells in several processes; returns when all have ended.

    A process that dies (killed for memory, say) fails its cell, and a new one takes its place.

    Args:
        requests: What `worker` reads, one for each cell, in the order in which they are given out.
        gpus: One entry for each worker: the GPU that it sees, or None.
        handle: Called in this thread with every event of a cell, by `index`.
    """
    events: Queue[dict[str, Any]] = Queue()
    waiting = list(requests)
    with _workers(events, gpus[: len(waiting)]) as workers:
        for worker in workers:
            worker.give(waiting.pop(0))
        while any(worker.index is not None for worker in workers):
            event = events.get()
            worker = event.pop("worker")
            if event["event"] == "died":
                if worker not in workers:
                    continue
                workers.remove(worker)
                worker.stop()
                if worker.index is not None:
                    handle({"index": worker.index, "event": "failed", **_death(event["status"])})
                if waiting:
                    workers.append(worker := Worker(events, worker.gpu))
                    worker.give(waiting.pop(0))
                continue
            handle(event)
            if event["event"] in ENDS:
                worker.index = None
                if waiting:
                    worker.give(waiting.pop(0))


@contextlib.contextmanager
def _workers(events: "Queue[dict[str, Any]]", gpus: Sequence[int | None]) -> Iterator[list[Worker]]:
    """Worker processes, which are ended with the block, however it ends."""
    workers = [Worker(events, gpu) for gpu in gpus]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.stop()


def _death(status: int) -> dict[str, Any]:
    how = f"by signal {-status}" if status < 0 else f"with status {status}"
    why = " (perhaps for memory)" if status == -9 else ""
    message = f"the process of the cell ended {how}{why}; the same command goes on from the last version"
    return {"error": message, "traceback": "", "defect": False}
