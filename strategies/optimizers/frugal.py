"""AdamW for a changing part of each matrix, steps by the gradient's sign for the rest: little optimizer state."""

import math
from collections.abc import Iterator, Sequence
from typing import Literal, final

from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from clbench.core.devices import to_device
from clbench.core.registry import OPTIMIZERS
from clbench.strategies._parts.column_adamw import ColumnAdamW, drawn_columns
from clbench.strategies._parts.optimizer import OptimizerConfig, OptimizerPart, Plan
from clbench.strategies._parts.part import Trained


class FrugalConfig(OptimizerConfig):
    """Settings of `Frugal`; density and scale are the authors' for fine-tuning."""

    density: float = Field(0.25, gt=0, le=1, description="Share of columns, or of matrices, that AdamW moves.")
    unit: Literal["columns", "matrices"] = Field("columns", description="What is drawn.")
    rounds: int = Field(5, ge=1, description="Largest number of draws in an update; the first is for its first step.")
    scale: float = Field(0.1, ge=0, description="Rate of the other columns as a multiple of `lr`; 0 freezes them.")


@OPTIMIZERS.register("frugal", config=FrugalConfig)
@final
class Frugal(OptimizerPart[FrugalConfig]):
    """FRUGAL (Zmushko et al. 2024): AdamW with new state in columns drawn uniformly, -lr scale sign(g) elsewhere.

    Weight decay is for all entries. It takes matrices; AdamW trains the others. Departure: the authors draw every 200
    or 500 steps, which is never in a short update; here the number of draws is set and the gap follows from the number
    of steps. Signs do not shrink with the gradient, so the schedule must let the rate fall to 0. With `scale: 0` it is
    AdamW on random blocks (as BAdam).
    """

    @property
    def state_bytes(self) -> float:
        """Two moments of the columns that AdamW moves."""
        return 8.0 * self.config.density

    def takes(self, trained: Trained) -> bool:
        """Matrices."""
        return trained.is_matrix

    def build(self, parameters: Sequence[Trained], plan: Plan) -> Optimizer:
        """The optimizer of the matrices."""
        defaults = {"lr": plan.lr, "weight_decay": plan.weight_decay, "betas": plan.betas}
        found = [item.parameter for item in parameters]
        return ColumnAdamW(found, {**defaults, "scale": self.config.scale}, self._draws(found, plan.steps))

    def _draws(self, parameters: Sequence[nn.Parameter], steps: int) -> Iterator[list[Tensor] | None]:
        """For each step: columns of each matrix, or None to keep those of the step before."""
        generator, device = self.new_generator(), parameters[0].device
        widths = [p.shape[1] for p in parameters]
        gap = math.ceil(steps / self.config.rounds)
        for step in range(steps):
            if step % gap:
                yield None
            else:
                drawn = drawn_columns(widths, self.config.density, self.config.unit == "matrices", generator)
                yield [to_device(index, device) for index in drawn]
