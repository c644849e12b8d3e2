"""After DO-Merging: LoRA updates made less alike, then norms and directions of their columns averaged apart."""

from collections.abc import Sequence

import torch
from torch import Tensor


def overlap(stacked: Tensor, number: int, change: Tensor, gamma: float) -> tuple[Tensor, Tensor]:
    """Sum over tasks i != j of ||A_i A_j^T||^2, plus gamma times the squared norm of the change.

    Args:
        stacked: Changed factors of all tasks below one another, `(number * r, width)`; transposes of B, or A.
        number: Number of tasks.
        change: What was added to the factors, of the same shape.
        gamma: Weight of the squared norm of the change.

    Returns:
        The value, a scalar, and its gradient with respect to the factors:
        4 sum over j != i of A_i A_j^T A_j, plus 2 gamma times the change.
    """
    rank = len(stacked) // number
    task = torch.arange(number, device=stacked.device).repeat_interleave(rank)
    between = (stacked @ stacked.T).masked_fill(task.unsqueeze(1) == task, 0.0)
    value = between.square().sum() + gamma * change.square().sum()
    return value, 4 * between @ stacked + 2 * gamma * change


def orthogonalize(factors: Sequence[Tensor], gamma: float, steps: int, lr: float) -> list[Tensor]:
    """Change factors by Adam so that they overlap less between tasks and stay near to where they were.

    Args:
        factors: One factor `(r, width)` of each task, of equal shapes: A, or the transpose of B.
        gamma: Weight of the squared norm of the change.
        steps: Number of steps of Adam.
        lr: Its learning rate, in units of the root mean square of all entries.

    Returns:
        The changed factors, in float64.
    """
    first = torch.cat([factor.double() for factor in factors])
    stacked = torch.nn.Parameter(first.clone())
    optimizer = torch.optim.Adam([stacked], lr=lr * float(first.square().mean().sqrt()))
    for _ in range(steps):
        found = stacked.detach()
        _, stacked.grad = overlap(found, len(factors), found - first, gamma)
        optimizer.step()
    return list(stacked.detach().split(len(factors[0])))


def mean_of_parts(products: Sequence[Tensor], renormalize: bool = False) -> tuple[Tensor, Tensor]:
    """The mean norm of each column times the mean of the columns' directions.

    Columns are input features. A column of zeros has no direction and counts as a direction of length 0.

    Args:
        products: Updates `(out, in)` of the tasks.
        renormalize: Whether mean directions get length 1 again.

    Returns:
        The merged update `(out, in)`, and the lengths `(in,)` of the mean directions, in [0, 1]: 1 if all tasks agree.
    """
    stack = torch.stack(list(products))
    norms = torch.linalg.vector_norm(stack, dim=1, keepdim=True)
    direction = _unit(stack, norms).mean(dim=0)
    lengths = torch.linalg.vector_norm(direction, dim=0)
    return norms.mean(dim=0) * (_unit(direction, lengths) if renormalize else direction), lengths


def _unit(columns: Tensor, norms: Tensor) -> Tensor:
    return torch.where(norms > 0, columns / norms.clamp(min=torch.finfo(norms.dtype).tiny), 0.0)
