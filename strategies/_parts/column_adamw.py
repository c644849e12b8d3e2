"""AdamW for some columns of each matrix, and steps by the gradient's sign for the others."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

EPS = 1e-8


class ColumnAdamW(Optimizer):
    """In chosen columns AdamW, whose state is new with each choice; in the others steps of lr scale sign(g).

    Weight decay is for all columns.

    Args:
        matrices: The parameters.
        defaults: `lr`, `weight_decay`, `betas`, and the factor `scale`.
        draws: For each step, the columns `(k,)` int64 of each matrix on its device, or None to keep them.
    """

    def __init__(
        self, matrices: Sequence[nn.Parameter], defaults: dict[str, Any], draws: Iterator[list[Tensor] | None]
    ) -> None:
        super().__init__(list(matrices), defaults)
        self._draws = draws

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step."""
        (group,) = self.param_groups
        if (drawn := next(self._draws)) is not None:
            for p, columns in zip(group["params"], drawn, strict=True):
                moments = [p.new_zeros(p.shape[0], len(columns)) for _ in range(2)]
                self.state[p] = {"columns": columns, "moments": moments, "steps": 0}
        for p in group["params"]:
            if p.grad is not None:
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.sub_(self._update(p, group))

    def _update(self, p: nn.Parameter, group: dict[str, Any]) -> Tensor:
        assert p.grad is not None
        state, (decay, decay_of_square) = self.state[p], group["betas"]
        state["steps"] += 1
        mean, square = state["moments"]
        active = p.grad[:, state["columns"]]
        mean.lerp_(active, 1 - decay)
        square.mul_(decay_of_square).addcmul_(active, active, value=1 - decay_of_square)
        root = (square / (1 - decay_of_square ** state["steps"])).sqrt_().add_(EPS)
        update = p.grad.sign().mul_(group["lr"] * group["scale"])
        update[:, state["columns"]] = mean / root * (group["lr"] / (1 - decay ** state["steps"]))
        return update


def drawn_columns(widths: Sequence[int], density: float, whole: bool, generator: torch.Generator) -> list[Tensor]:
    """Columns of each matrix, drawn uniformly.

    Args:
        widths: Number of columns of each matrix.
        density: Share of the columns of each matrix, at least one; or of the matrices, which then get all of theirs.
        whole: Whether to draw matrices.
        generator: Source of randomness, on the CPU.
    """
    counts = [max(1, int(density * width)) for width in widths]
    if whole:
        order = torch.randperm(len(widths), generator=generator).tolist()
        moved = order[: max(1, round(density * len(widths)))]
        counts = [width * (number in moved) for number, width in enumerate(widths)]
    return [torch.randperm(width, generator=generator)[:n] for width, n in zip(widths, counts, strict=True)]
