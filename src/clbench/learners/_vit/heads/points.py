"""Keypoints: a heatmap each, whose mean place is the point (soft-argmax; DSNT, Nibali et al. 2018)."""

from typing import final

import torch
from torch import Tensor, nn

from clbench.contracts import Batch
from clbench.learners._vit.dense_losses import point_heatmap
from clbench.learners._vit.heads.head import Growing, Head
from clbench.learners._vit.trunk import Features

SIGMA = 2.0
"""Deviation of the true heatmap, in places."""
CLOSENESS = 10.0
"""Weight of the points' L1 distance, fractions of the image, beside the divergence of the heatmaps, in nats."""


@final
class PointHead(Head):
    """A growing map and a 1 x 1 convolution; every point's map goes through a softmax over its places."""

    def __init__(self, width: int, points: int) -> None:
        super().__init__()
        self.grow = Growing(width, 2)
        self.read = nn.Conv2d(self.grow.channels, points, 1)

    def forward(self, features: Features) -> Tensor:
        """Logarithms of the heatmaps, `(n, points, 4 rows, 4 columns)`; their sums over places are 1."""
        scores: Tensor = self.read(self.grow(features.patches))
        return scores.float().flatten(2).log_softmax(dim=2).view(scores.shape)

    def loss(self, answer: Tensor, batch: Batch) -> Tensor:
        """KL divergence from Gaussians round the `points` `(n, points, 2)`, plus the L1 distance of the mean places."""
        rows, columns = answer.shape[-2:]
        target = point_heatmap(batch["points"], rows, columns, SIGMA)
        divergence = torch.xlogy(target, target) - target * answer
        distance = (mean_place(answer) - batch["points"]).abs().sum(dim=-1).mean()
        return divergence.sum(dim=(2, 3)).mean() + CLOSENESS * distance

    def predict(self, answer: Tensor, size: int) -> Tensor:
        """`(n, points, 2)`: x and y as fractions."""
        return mean_place(answer)


def mean_place(log_heat: Tensor) -> Tensor:
    """Mean x and y of heatmaps `(n, points, rows, columns)` given by their logarithms, fractions, `(n, points, 2)`."""
    heat = log_heat.exp()
    rows, columns = heat.shape[-2:]
    x = (torch.arange(columns, device=heat.device) + 0.5) / columns
    y = (torch.arange(rows, device=heat.device) + 0.5) / rows
    return torch.stack([(heat.sum(dim=2) * x).sum(dim=-1), (heat.sum(dim=3) * y).sum(dim=-1)], dim=-1)
