"""What training loops share: batches, optimizer and schedule, precision, the check of the loss."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from clbench.contracts import Budget, Task
from clbench.core.errors import TrainingError

if TYPE_CHECKING:
    from clbench.strategies._training.gradient import TrainingConfig


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


def without(parameters: Sequence[nn.Parameter], others: Sequence[nn.Parameter]) -> list[nn.Parameter]:
    """Those of `parameters` that are not among the others."""
    left_out = {id(p) for p in others}
    return [p for p in parameters if id(p) not in left_out]


def new_optimiser(
    module: nn.Module,
    parameters: Sequence[nn.Parameter],
    config: "TrainingConfig",
    steps: int,
    own: Sequence[nn.Parameter] = (),
) -> tuple[torch.optim.AdamW, LambdaLR]:
    """AdamW with its schedule over some of a module's parameters; all others get no gradient.

    Args:
        module: The learner's.
        parameters: Trained at `config.rate`.
        config: Settings.
        steps: How many there will be.
        own: Trained at `head_lr`: what tasks have for themselves.
    """
    module.requires_grad_(False)
    for p in (*parameters, *own):
        p.requires_grad_()
    groups: list[dict[str, Any]] = [{"params": list(parameters)}, {"params": list(own), "lr": config.head_lr}]
    optimizer = torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.rate,
        betas=config.betas,
        weight_decay=config.weight_decay,
        fused=True,
    )
    return optimizer, LambdaLR(optimizer, warmup_then(config.schedule, config.warmup, steps))


def clip_gradient(parameters: Sequence[nn.Parameter], norm: float | None) -> None:
    """Scale the gradient of some parameters together down to a norm; leave it alone without one."""
    if norm is not None:
        nn.utils.clip_grad_norm_(parameters, norm, foreach=True)


def report_losses(losses: Tensor, task: Task, lr: float, record: Callable[[str, float], None]) -> None:
    """Check a task's losses `(steps,)` and record the mean of the first and of the last tenth.

    Called once after the last step, so that no step waits for the device.

    Raises:
        TrainingError: When the loss was not finite at some step; a smaller rate is only advised after a step was made.
    """
    finite = torch.isfinite(losses)
    if not bool(finite.all()):
        step = int((~finite).nonzero()[0]) + 1
        why = f" (learning rate {lr:g}): try a smaller one" if step > 1 else ", before any step was made"
        raise TrainingError(f"task {task.name!r}: the loss is not finite at step {step}{why}")
    tenth = max(1, len(losses) // 10)
    record("train/loss_first", float(losses[:tenth].mean()))
    record("train/loss_last", float(losses[-tenth:].mean()))
