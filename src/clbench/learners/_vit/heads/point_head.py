"""Keypoints: one heatmap per point, whose mean position is the point (soft-argmax; DSNT, Nibali et al. 2018)."""

from typing import TYPE_CHECKING, Self, final

import torch
from torch import Tensor, nn

from clbench.contracts import Batch, Task
from clbench.learners._vit.dense_losses import point_heatmap
from clbench.learners._vit.heads.head import Head, Upsampler, in_fractions
from clbench.learners._vit.trunk import Features

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from datasets import Dataset

SIGMA = 2.0
"""Standard deviation of the target heatmap, in cells."""
DISTANCE_WEIGHT = 10.0
"""Weight of the L1 distance of points (fractions of the image) relative to the divergence of heatmaps (nats)."""


@final
class PointHead(Head):
    """An upsampler and a 1 x 1 convolution; a softmax over the cells of each point's map makes it a heatmap."""

    def __init__(self, width: int, points: int) -> None:
        super().__init__()
        self.grow = Upsampler(width, 2)
        self.read = nn.Conv2d(self.grow.channels, points, 1)

    @classmethod
    def of(cls, task: Task, width: int) -> Self:
        """A head for a task."""
        return cls(width, task.points)

    @classmethod
    def targets(cls, rows: "Dataset", truth: "Mapping[str, pa.Array]", task: Task, size: int) -> dict[str, Tensor]:
        """`points` `(n, points, 2)` float32, fractions of width and height.

        Args:
            rows: The rows.
            truth: Their truth.
            task: The task.
            size: Side of the learner's images in pixels.
        """
        return {"points": in_fractions(truth, "points", task.points, 1)}

    def forward(self, features: Features) -> Tensor:
        """Logarithms of the heatmaps, `(n, points, 4 rows, 4 columns)`; each heatmap sums to 1."""
        scores: Tensor = self.read(self.grow(features.patches))
        return scores.float().flatten(2).log_softmax(dim=2).view(scores.shape)

    def loss(self, answer: Tensor, batch: Batch) -> Tensor:
        """KL divergence from Gaussians around `points` `(n, points, 2)`, plus the weighted L1 distance to them."""
        rows, columns = answer.shape[-2:]
        target = point_heatmap(batch["points"], rows, columns, SIGMA)
        divergence = torch.xlogy(target, target) - target * answer
        distance = (mean_position(answer) - batch["points"]).abs().sum(dim=-1).mean()
        return divergence.sum(dim=(2, 3)).mean() + DISTANCE_WEIGHT * distance

    def predict(self, answer: Tensor, size: int) -> Tensor:
        """Points `(n, points, 2)`: x and y as fractions of width and height."""
        return mean_position(answer)


def mean_position(log_heat: Tensor) -> Tensor:
    """Mean positions `(n, points, 2)`, in fractions, of log-heatmaps `(n, points, rows, columns)`."""
    heat = log_heat.exp()
    rows, columns = heat.shape[-2:]
    x = (torch.arange(columns, device=heat.device) + 0.5) / columns
    y = (torch.arange(rows, device=heat.device) + 0.5) / rows
    return torch.stack([(heat.sum(dim=2) * x).sum(dim=-1), (heat.sum(dim=3) * y).sum(dim=-1)], dim=-1)
