"""What training loops share: batches, optimizer, schedule, clipping, and the check of losses."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from clbench.contracts import Budget, Task
from clbench.core.errors import ConfigError, TrainingError
from clbench.strategies._parts.optimizer import Joined, OptimizerPart, Plan
from clbench.strategies._parts.part import Trained

if TYPE_CHECKING:
    from clbench.strategies._training.gradient import TrainingConfig


def batches_of(n: int, budget: Budget, generator: torch.Generator, device: torch.device) -> Iterator[Tensor]:
    """Positions of random samples: every sample is drawn once before any sample is drawn twice.

    All positions are drawn and moved to the device at once, so that steps need no transfer.

    Args:
        n: Number of samples.
        budget: Number of steps and batch size; a batch larger than `n` repeats samples.
        generator: Source of randomness, on the CPU.
        device: Device of the samples.

    Yields:
        `budget.steps` tensors of `budget.batch_size` int64 positions.
    """
    wanted = budget.steps * budget.batch_size
    rounds = math.ceil(wanted / n)
    order = torch.cat([torch.randperm(n, generator=generator) for _ in range(rounds)])[:wanted]
    yield from order.to(device).split(budget.batch_size)


def warmup_then(schedule: str, warmup: float, total: int) -> Callable[[int], float]:
    """Factor of the learning rate by step (from 0): linear warm-up, then cosine to 0 or constant.

    Args:
        schedule: Shape after the warm-up, `cosine` or `constant`.
        warmup: Share of steps in which the rate rises, in [0, 1).
        total: Number of steps.
    """
    rise = round(warmup * total)

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / (rise + 1)
        if schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rise) / max(1, total - rise))))

    return factor


def train_only(module: nn.Module, parameters: Iterable[nn.Parameter]) -> None:
    """Switch the gradients of some parameters on, and those of all others of a module off."""
    module.requires_grad_(False)
    for p in parameters:
        p.requires_grad_()


def new_optimizer(
    trained: Sequence[Trained],
    heads: Sequence[nn.Parameter],
    config: "TrainingConfig",
    part: OptimizerPart[Any],
    steps: int,
) -> tuple[Optimizer, LambdaLR]:
    """The optimizer of an update and its schedule.

    Args:
        trained: Parameters trained at `config.rate`.
        heads: Parameters trained by AdamW at `config.head_lr`: heads and prompts.
        config: Learning rates, schedule, betas and weight decay.
        part: The optimizer; AdamW trains what it does not take.
        steps: Number of steps of the schedule.
    """
    taken = [item for item in trained if part.takes(item)]
    if trained and not taken and not part.takes_nothing:
        raise ConfigError(f"optimizer {type(part).__name__}: takes none of what the strategy trains, which AdamW would")
    others = [item.parameter for item in trained if not part.takes(item)]
    groups: list[dict[str, Any]] = [
        {"params": others, "lr": part.config.fallback_lr or config.rate},
        {"params": list(heads), "lr": config.head_lr},
    ]
    plan = Plan(config.rate, config.weight_decay, config.betas, steps)
    members: list[Optimizer] = [part.build(taken, plan)] if taken else []
    if filled := [group for group in groups if group["params"]]:
        decay = config.weight_decay
        members.append(torch.optim.AdamW(filled, lr=config.rate, betas=config.betas, weight_decay=decay, fused=True))
    optimizer = members[0] if len(members) == 1 else Joined(members)
    return optimizer, LambdaLR(optimizer, warmup_then(config.schedule, config.warmup, steps))


def clip_gradient(parameters: Sequence[nn.Parameter], norm: float | None) -> None:
    """Scale gradients down so that their joint norm is at most `norm`; None does not clip."""
    if norm is not None:
        nn.utils.clip_grad_norm_(parameters, norm, foreach=True)


def report_losses(losses: Tensor, task: Task, lr: float, record: Callable[[str, float], None]) -> None:
    """Check a task's losses and record the mean of the first and of the last tenth.

    Called once, after the last step, so that steps need no synchronization with the device.

    Args:
        losses: Loss of every step, `(steps,)`.
        task: The task, for messages.
        lr: Learning rate, for messages.
        record: Records a number under a name.

    Raises:
        TrainingError: When a loss is not finite; the message advises a smaller rate only if a step was made before.
    """
    finite = torch.isfinite(losses)
    if not bool(finite.all()):
        step = int((~finite).nonzero()[0]) + 1
        why = f" (learning rate {lr:g}): try a smaller one" if step > 1 else ", before any step was made"
        raise TrainingError(f"task {task.name!r}: the loss is not finite at step {step}{why}")
    tenth = max(1, len(losses) // 10)
    record("train/loss_first", float(losses[:tenth].mean()))
    record("train/loss_last", float(losses[-tenth:].mean()))
