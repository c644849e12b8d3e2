"""How many processes run cells side by side: what cores, memory and GPUs allow."""

import os
from collections.abc import Callable, Sequence

import psutil
import torch

from clbench.benchmarks.engine.cell import Cell
from clbench.benchmarks.engine.learners import build_learner
from clbench.core.errors import ConfigError

GIB = 1 << 30
PROCESS = 1.5 * GIB
"""Bytes of a process besides its model: imported libraries and the samples of a small stream, rounded up."""
COPIES = 6
"""A model in training, in multiples of its weights: the weights, gradients, two moments of AdamW, one copy of a
version, and as much again for activations."""


def worker_count(asked: str, cells: Sequence[Cell], device: torch.device) -> int:
    """The number of workers for a suite.

    `auto` is one worker for each GPU; on a CPU, as many as have the threads that the suite sets for a cell, and no more
    than memory holds. A suite that sets no threads has one worker there, because a cell then uses all cores.

    Args:
        asked: A number, or `auto`.
        cells: The cells to run.
        device: Device of the learners.

    Raises:
        ConfigError: For anything else.
    """
    if (number := asked_number(asked)) is not None:
        return min(number, max(1, len(cells)))
    each = max((cell.processes for cell in cells), default=1)
    if device.type == "cuda":
        return max(1, min(torch.cuda.device_count() // each, len(cells)))
    threads = [(cell.threads or cores()) * cell.processes for cell in cells]
    wanted = min(max(1, cores() // max(threads, default=1)), len(cells))
    free = psutil.virtual_memory().available // each
    return wanted if wanted <= 1 else min(wanted, fitting(free, lambda: largest(cells)))


def asked_number(asked: str) -> int | None:
    """The number that was asked for; None for `auto`.

    Raises:
        ConfigError: For anything else.
    """
    if asked == "auto":
        return None
    if not asked.isascii() or not asked.isdigit() or int(asked) < 1:
        raise ConfigError(f"--workers must be auto or a number from 1 on, got {asked!r}")
    return int(asked)


def cores() -> int:
    """Number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def fitting(available: int, model_bytes: Callable[[], int]) -> int:
    """Number of processes that fit into memory, at least one.

    Args:
        available: Bytes that are free.
        model_bytes: Gives the bytes of the largest model's weights.
    """
    return max(1, int(available // (PROCESS + COPIES * model_bytes())))


def largest(cells: Sequence[Cell]) -> int:
    """Bytes of the largest model's weights, each learner built once."""
    sizes = [0]
    for specification in dict.fromkeys(cell.learner for cell in cells):
        learner = build_learner(specification, 0, torch.device("cpu"))
        sizes.append(sum(p.numel() * p.element_size() for p in learner.module.parameters()))
    return max(sizes)
