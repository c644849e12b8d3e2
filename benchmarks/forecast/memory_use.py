"""How much memory a piece of work needs."""

import contextlib
import gc
import threading
from collections.abc import Iterator

import psutil
import torch

from clbench.benchmarks.engine.process_memory import MIB, give_back


def memory_mib(device: torch.device) -> float:
    """MiB that are allocated on the device, or that the process takes on a CPU, after freed memory was given back."""
    gc.collect()
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device) / MIB
    give_back()
    return float(psutil.Process().memory_info().rss) / MIB


@contextlib.contextmanager
def memory_above_now(device: torch.device) -> Iterator[list[float]]:
    """A list that holds, afterwards, how many MiB more than now were needed at the peak."""
    now, above = memory_mib(device), list[float]()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield above
        above.append(torch.cuda.max_memory_allocated(device) / MIB - now)
        return
    process, done, seen = psutil.Process(), threading.Event(), [now]

    def watch() -> None:
        while not done.wait(0.002):
            seen.append(process.memory_info().rss / MIB)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield above
    finally:
        done.set()
        watcher.join()
    above.append(max(seen) - now)
