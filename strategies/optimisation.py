"""What training loops share: batches, learning-rate schedules, precision."""

import contextlib
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from clbench.contracts import Budget


def batches_of(n: int, budget: Budget, generator: torch.Generator, device: torch.device) -> Iterator[Tensor]:
    """Positions of random samples: every sample once before any sample twice.

    All positions are drawn and moved to the device at once, so that no step waits for a transfer.

    Args:
        n: Number of samples.
        budget: Steps and batch size; a batch larger than `n` holds samples more than once.
        generator: On the CPU.
        device: Where the samples are.

    Yields:
        `budget.steps` tensors of `budget.batch_size` int64 positions.
    """
    wanted = budget.steps * budget.batch_size
    rounds = math.ceil(wanted / n)
    order = torch.cat([torch.randperm(n, generator=generator) for _ in range(rounds)])[:wanted]
    yield from order.to(device).split(budget.batch_size)


def warmup_then(schedule: str, warmup: float, total: int) -> Callable[[int], float]:
    """Factor of the learning rate by step (from 0): linear over `warmup * total` steps, then cosine to 0 or flat."""
    rise = round(warmup * total)

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / (rise + 1)
        if schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rise) / max(1, total - rise))))

    return factor


def autocast(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """bfloat16 where the device is made for it (CUDA), full precision on the CPU, where results must be exact."""
    if device.type == "cuda":
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return contextlib.nullcontext()
