"""Detection by centres (CenterNet, Zhou et al. 2019): a heatmap, and at every cell a size and an offset."""

from typing import TYPE_CHECKING, Self, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clbench.contracts import Batch, Task
from clbench.learners._vit.dense_losses import centre_heatmap, focal_loss, giou_loss
from clbench.learners._vit.heads.head import Head, Upsampler, in_fractions
from clbench.learners._vit.trunk import Features

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from datasets import Dataset

RARE = -2.19
"""First bias of the heatmap: its sigmoid is 0.1, so that the many empty cells do not dominate the loss at first."""


@final
class BoxHead(Head):
    """Five numbers in each cell of a map with twice the patches' resolution: heat, offset (x, y), size (w, h).

    Offsets are fractions of a cell and sizes fractions of the image, by sigmoids. Boxes are the highest peaks of the
    heatmap; a peak is a cell that no neighbour exceeds.
    """

    def __init__(self, width: int, boxes: int) -> None:
        super().__init__()
        self.boxes = boxes
        self.grow = Upsampler(width, 1)
        self.read = nn.Sequential(
            nn.Conv2d(self.grow.channels, self.grow.channels, 3, padding=1),
            nn.GELU(),
            last := nn.Conv2d(self.grow.channels, 5, 1),
        )
        assert last.bias is not None
        nn.init.zeros_(last.bias)
        last.bias.data[0] = RARE

    @classmethod
    def of(cls, task: Task, width: int) -> Self:
        """A head for a task."""
        return cls(width, task.boxes)

    @classmethod
    def targets(cls, rows: "Dataset", truth: "Mapping[str, pa.Array]", task: Task, size: int) -> dict[str, Tensor]:
        """`boxes` `(n, task.boxes, 4)` float32, fractions of width and height, with rows of zeros as padding.

        Args:
            rows: The rows.
            truth: Their truth.
            task: The task.
            size: Side of the learner's images in pixels.
        """
        return {"boxes": in_fractions(truth, "boxes", task.boxes, 2)}

    @classmethod
    def may_mirror(cls, task: Task) -> bool:
        """Always."""
        return True

    def forward(self, features: Features) -> Tensor:
        """Heat, offset and size before the sigmoids, `(n, 5, 2 rows, 2 columns)`."""
        answer: Tensor = self.read(self.grow(features.patches))
        return answer.float()

    def loss(self, answer: Tensor, batch: Batch) -> Tensor:
        """Focal loss of the heatmap, plus L1 of offset and size and 1 - GIoU of the box at the true centres.

        `boxes` are `(n, boxes, 4)`, fractions; rows of zeros are padding. The weights are 1, but 5 for the L1 of sizes:
        ours are fractions of the image, while the published weight (0.1) is for pixels.
        """
        boxes = batch["boxes"]
        rows, columns = answer.shape[-2:]
        real = (boxes[..., 2] > boxes[..., 0]) & (boxes[..., 3] > boxes[..., 1])
        heat = centre_heatmap(boxes, real, rows, columns)
        centre = (boxes[..., :2] + boxes[..., 2:]) / 2
        scale = centre.new_tensor([columns, rows])
        place = (centre * scale).long()
        place = torch.minimum(place.clamp(min=0), (scale - 1).long())
        which = (place[..., 1] * columns + place[..., 0]).unsqueeze(1)
        found = answer.flatten(2).gather(2, which.expand(-1, 5, -1)).transpose(1, 2)  # (n, boxes, 5)
        offset, size = found[..., 1:3].sigmoid(), found[..., 3:5].sigmoid()
        number = real.sum().clamp(min=1)
        weight = real.unsqueeze(-1) / number
        offsets = ((offset - (centre * scale - place)).abs() * weight).sum()
        sizes = ((size - (boxes[..., 2:] - boxes[..., :2])).abs() * weight).sum()
        guess = _corners((place + offset) / scale, size)
        overlap = (giou_loss(guess, boxes) * real).sum() / number
        return focal_loss(answer[:, 0], heat) + offsets + 5 * sizes + overlap

    def predict(self, answer: Tensor, size: int) -> Tensor:
        """`(n, boxes, 5)`: corners as fractions inside the image, and the height of the peak, highest first."""
        heat = answer[:, :1].sigmoid()
        rows, columns = heat.shape[-2:]
        peaks = heat * (heat == F.max_pool2d(heat, 3, stride=1, padding=1))
        confidence, which = peaks.flatten(1).topk(min(self.boxes, rows * columns), dim=1)
        found = answer.flatten(2).gather(2, which.unsqueeze(1).expand(-1, 5, -1)).transpose(1, 2).sigmoid()
        place = torch.stack([which % columns, which // columns], dim=-1)
        centre = (place + found[..., 1:3]) / found.new_tensor([columns, rows])
        return torch.cat([_corners(centre, found[..., 3:5]).clamp(0, 1), confidence.unsqueeze(-1)], dim=-1)


def _corners(centre: Tensor, size: Tensor) -> Tensor:
    return torch.cat([centre - size / 2, centre + size / 2], dim=-1)
