"""The engine of one machine: worker processes, each with one cell at a time, and their events in one queue."""

import contextlib
from collections.abc import Iterator, Sequence

import torch

from clbench.benchmarks.engine.engines.json_process import Events, JsonProcess
from clbench.benchmarks.engine.engines.protocol import COMMAND, ENDS, Handle, Request, death, failed


class Worker(JsonProcess):
    """One worker process; see the module `worker`.

    Args:
        events: Gets the events of the process.
        gpu: Numbers of the GPUs that the process sees, separated by commas; None leaves all.
    """

    def __init__(self, events: Events, gpu: str | None = None) -> None:
        super().__init__(COMMAND, events, {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu})
        self.gpu = gpu
        self.index: int | None = None
        """Index of the cell that it runs; None if it waits."""

    def give(self, request: Request) -> None:
        """Let it run a cell."""
        self.index = request["index"]
        self.ask(request)


class LocalProcesses:
    """Runs cells in processes of this machine.

    A process that dies (killed for memory, say) fails its cell, and a new one takes its place.

    Args:
        gpus: One entry for each process: the GPUs that it sees, or None.
    """

    def __init__(self, gpus: Sequence[str | None]) -> None:
        self._gpus = gpus

    def run(self, requests: Sequence[Request], handle: Handle) -> None:
        """Run cells: see `Engine.run`."""
        events = Events()
        waiting = list(requests)
        with _workers(events, self._gpus[: len(waiting)]) as workers:
            for worker in workers:
                worker.give(waiting.pop(0))
            while any(worker.index is not None for worker in workers):
                event = events.get()
                worker = event.pop("process")
                if event["event"] == "died":
                    if worker not in workers:
                        continue
                    workers.remove(worker)
                    worker.stop()
                    if worker.index is not None:
                        handle(failed(worker.index, death(event["status"])))
                    if waiting:
                        workers.append(worker := Worker(events, worker.gpu))
                        worker.give(waiting.pop(0))
                    continue
                handle(event)
                if event["event"] in ENDS:
                    worker.index = None
                    if waiting:
                        worker.give(waiting.pop(0))


def gpus_for(workers: int, device: torch.device, each: int = 1) -> list[str | None]:
    """The GPUs that each worker sees, in turn; None for all on a CPU.

    Args:
        workers: Number of workers.
        device: Device of the learners.
        each: Processes of a cell, each of which has a GPU.
    """
    if device.type != "cuda":
        return [None] * workers
    own = torch.cuda.device_count()
    return [",".join(str((number * each + i) % own) for i in range(each)) for number in range(workers)]


@contextlib.contextmanager
def _workers(events: Events, gpus: Sequence[str | None]) -> Iterator[list[Worker]]:
    """Worker processes, which are ended with the block, however it ends."""
    workers = [Worker(events, gpu) for gpu in gpus]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.stop()
