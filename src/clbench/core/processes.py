"""The processes of one cell: how they add up gradients and exchange results; one process alone does neither.

All processes of a cell run the same code on the same data with the same random numbers, so their models stay equal.
Only what is expensive is split: the gradient of a batch, and the predictions of a version. Process 0 owns the files.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

PATIENCE = timedelta(days=7)
"""Longest wait for another process, which may decode data or wait for a lock; one that dies ends the wait at once."""


def count() -> int:
    """Number of processes of the cell."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


@contextlib.contextmanager
def joined(meeting: Path, number: int, of: int, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Be one of the processes of a cell, once all of them have met.

    Args:
        meeting: File by which they find each other; it must not be there before.
        number: Number of this process, from 0.
        of: Number of processes.
        waiting: Called now and then until all are there.
    """
    store = dist.FileStore(str(meeting), of)  # type: ignore[attr-defined]
    store.set(f"here {number}", "yes")
    while not store.check([f"here {other}" for other in range(of)]):
        waiting()
        time.sleep(0.1)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, store=store, rank=number, world_size=of, timeout=PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def add_up(tensors: Sequence[Tensor]) -> None:
    """Replace tensors by their sums over all processes, which have the same bits in each of them."""
    for work in [dist.all_reduce(tensor, async_op=True) for tensor in tensors]:
        work.wait()


def any_of(flags: Sequence[bool]) -> list[bool]:
    """For each flag, whether it is set in any process."""
    found = torch.tensor(flags, dtype=torch.uint8)
    dist.all_reduce(found, op=dist.ReduceOp.MAX)
    return [bool(flag) for flag in found.tolist()]


def told_by_first(flag: bool) -> bool:
    """The flag of process 0."""
    found = torch.tensor([flag], dtype=torch.uint8)
    dist.broadcast(found, src=0)
    return bool(found.item())


def mesh(device: torch.device) -> "DeviceMesh":
    """All processes in one row, each with its device; the device of this one becomes torch's current one."""
    from torch.distributed.device_mesh import init_device_mesh  # takes a while to import

    if device.type == "cuda":
        torch.cuda.set_device(device)
    return init_device_mesh(device.type, (count(),))


def all_bytes(own: bytes) -> list[bytes]:
    """What each process gives, by its number."""
    sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(count())]
    dist.all_gather(sizes, torch.tensor([len(own)]))
    widest = max(int(size) for size in sizes)
    padded = torch.zeros(widest, dtype=torch.uint8)
    padded[: len(own)] = torch.frombuffer(bytearray(own), dtype=torch.uint8) if own else padded[:0]
    found = [torch.zeros(widest, dtype=torch.uint8) for _ in sizes]
    dist.all_gather(found, padded)
    return [part[: int(size)].numpy().tobytes() for part, size in zip(found, sizes, strict=True)]
