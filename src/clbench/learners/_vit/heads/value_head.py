"""Regression of one value per image, on the scale of its range."""

from typing import TYPE_CHECKING, Self, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clbench.contracts import Batch, Task
from clbench.learners._vit.heads.head import Head, lacks
from clbench.learners._vit.trunk import Features

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from datasets import Dataset


@final
class ValueHead(Head):
    """LayerNorm and a linear layer on class token and mean patch token; smooth L1 in units of the range's width."""

    def __init__(self, width: int, value_range: tuple[float, float]) -> None:
        super().__init__()
        self.least, largest = value_range
        self.range = largest - self.least
        self.read = nn.Sequential(nn.LayerNorm(2 * width), last := nn.Linear(2 * width, 1))
        nn.init.constant_(last.bias, 0.5)  # begins near the middle

    @classmethod
    def of(cls, task: Task, width: int) -> Self:
        """A head for a task.

        Raises:
            ConfigError: For a task without a range of values.
        """
        if not task.value_range:
            raise lacks(task, "value_range")
        return cls(width, task.value_range)

    @classmethod
    def targets(cls, rows: "Dataset", truth: "Mapping[str, pa.Array]", task: Task, size: int) -> dict[str, Tensor]:
        """`value` `(n,)` float32, in its unit.

        Args:
            rows: The rows.
            truth: Their truth.
            task: The task.
            size: Side of the learner's images in pixels.
        """
        return {"value": torch.tensor(truth["value"].to_pylist(), dtype=torch.float32)}

    def forward(self, features: Features) -> Tensor:
        """Values `(n,)` on the scale of the range: 0 is the lower end, 1 the upper end."""
        scaled: Tensor = self.read(features.whole)
        return scaled.float().squeeze(1)

    def loss(self, answer: Tensor, batch: Batch) -> Tensor:
        """Smooth L1 from `value` `(n,)`, which is in its unit; quadratic below a tenth of the range."""
        return F.smooth_l1_loss(answer, (batch["value"] - self.least) / self.range, beta=0.1)

    def predict(self, answer: Tensor, size: int) -> Tensor:
        """Values `(n,)` in their unit."""
        return answer * self.range + self.least
