"""Regression of one value per image, on the scale of its range."""

from typing import final

import torch.nn.functional as F
from torch import Tensor, nn

from clbench.contracts import Batch
from clbench.learners._vit.heads.head import Head
from clbench.learners._vit.trunk import Features


@final
class ValueHead(Head):
    """LayerNorm and a linear layer on class token and mean patch token; smooth L1 in units of the range's width."""

    def __init__(self, width: int, value_range: tuple[float, float]) -> None:
        super().__init__()
        self.least, largest = value_range
        self.range = largest - self.least
        self.read = nn.Sequential(nn.LayerNorm(2 * width), last := nn.Linear(2 * width, 1))
        nn.init.constant_(last.bias, 0.5)  # begins near the middle

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
