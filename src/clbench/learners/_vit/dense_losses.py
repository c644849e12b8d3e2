"""Losses and targets of dense heads, for a whole batch at once."""

import torch
import torch.nn.functional as F
from torch import Tensor


def dice_loss(chances: Tensor, target: Tensor) -> Tensor:
    """1 - (2 |P T| + 1) / (|P| + |T| + 1), mean over the classes without the background; |.| sums over the batch.

    Args:
        chances: Probabilities `(n, classes, h, w)`.
        target: Class ids `(n, h, w)` int64.
    """
    true = F.one_hot(target, chances.shape[1]).movedim(-1, 1)[:, 1:]
    chances = chances[:, 1:]
    both = (chances * true).sum(dim=(0, 2, 3))
    sizes = chances.sum(dim=(0, 2, 3)) + true.sum(dim=(0, 2, 3))
    return (1 - (2 * both + 1) / (sizes + 1)).mean()


def focal_loss(scores: Tensor, heat: Tensor) -> Tensor:
    """CornerNet's penalty-reduced focal loss (Law and Deng 2018, Eq. 1), alpha 2 and beta 4, a scalar.

    -1/N sum of (1 - p)^2 log p where the target is 1, and (1 - target)^4 p^2 log(1 - p) elsewhere; N targets are 1.

    Args:
        scores: Heatmaps before the sigmoid, `(n, h, w)`.
        heat: Targets in [0, 1], same shape.
    """
    p = scores.sigmoid()
    centre = heat == 1
    hit = (1 - p) ** 2 * F.logsigmoid(scores)
    miss = (1 - heat) ** 4 * p**2 * F.logsigmoid(-scores)
    return -torch.where(centre, hit, miss).sum() / centre.sum().clamp(min=1)


def gaussian_radius(height: Tensor, width: Tensor, overlap: float = 0.7) -> Tensor:
    """Largest error of both corners of a box that keeps IoU at `overlap` or above (Law and Deng 2018, section 3.2).

    The minimum of three cases: both corners move outwards, both inwards, or both the same way. Each is the root of a
    quadratic equation. We divide by 2a; the released code divides by 2.

    Args:
        height: Heights of the boxes, of any shape.
        width: Widths, same shape and unit.
        overlap: IoU that is kept.

    Returns:
        The radius, in the same unit.
    """
    same = _smaller_root(torch.ones_like(height), height + width, width * height * (1 - overlap) / (1 + overlap))
    inwards = _smaller_root(torch.full_like(height, 4), 2 * (height + width), (1 - overlap) * width * height)
    total = height + width
    root = (4 * overlap**2 * total**2 + 16 * overlap * (1 - overlap) * width * height).sqrt()
    outwards = (root - 2 * overlap * total) / (8 * overlap)
    return torch.minimum(torch.minimum(same, inwards), outwards)


def _smaller_root(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """The smaller r with a r^2 - b r + c = 0."""
    return (b - (b**2 - 4 * a * c).clamp(min=0).sqrt()) / (2 * a)


def centre_heatmap(boxes: Tensor, real: Tensor, rows: int, columns: int) -> Tensor:
    """A Gaussian around the cell of each box's centre, with the value 1 there; the maximum where two overlap.

    Its standard deviation is (2 r + 1) / 6 cells with the `gaussian_radius` r, as in CenterNet's code.

    Args:
        boxes: `(n, boxes, 4)`, fractions of width and height.
        real: Bool `(n, boxes)`, false for padding.
        rows: Rows of the map.
        columns: Columns of the map.

    Returns:
        `(n, rows, columns)`.
    """
    left, top, right, bottom = boxes.unbind(-1)
    x = ((left + right) / 2 * columns).floor().clamp(0, columns - 1)
    y = ((top + bottom) / 2 * rows).floor().clamp(0, rows - 1)
    radius = gaussian_radius((bottom - top) * rows, (right - left) * columns).floor().clamp(min=0)
    sigma = (2 * radius + 1) / 6
    across = torch.arange(columns, device=boxes.device) - x.unsqueeze(-1)
    down = torch.arange(rows, device=boxes.device) - y.unsqueeze(-1)
    double = (2 * sigma**2).unsqueeze(-1)
    heat = torch.exp(-(down**2) / double).unsqueeze(-1) * torch.exp(-(across**2) / double).unsqueeze(-2)
    return (heat * real[..., None, None]).amax(dim=1)


def giou_loss(guess: Tensor, boxes: Tensor) -> Tensor:
    """1 - GIoU (Rezatofighi et al. 2019) of pairs of boxes `(..., 4)`, `(...)` in [0, 2]."""
    low, high = torch.maximum(guess[..., :2], boxes[..., :2]), torch.minimum(guess[..., 2:], boxes[..., 2:])
    both = (high - low).clamp(min=0).prod(dim=-1)
    union = _area(guess) + _area(boxes) - both
    hull = (torch.maximum(guess[..., 2:], boxes[..., 2:]) - torch.minimum(guess[..., :2], boxes[..., :2])).prod(dim=-1)
    small = torch.finfo(guess.dtype).eps
    return 1 - both / union.clamp(min=small) + (hull - union) / hull.clamp(min=small)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).prod(dim=-1)


def point_heatmap(points: Tensor, rows: int, columns: int, sigma: float) -> Tensor:
    """Gaussians around points, each with the sum 1.

    Args:
        points: `(n, points, 2)`, fractions of width and height.
        rows: Rows of the map.
        columns: Columns of the map.
        sigma: Standard deviation in cells.

    Returns:
        `(n, points, rows, columns)`; the coordinates of a cell are those of its centre.
    """
    x = points[..., 0, None] * columns - 0.5 - torch.arange(columns, device=points.device)
    y = points[..., 1, None] * rows - 0.5 - torch.arange(rows, device=points.device)
    scores = -((y**2).unsqueeze(-1) + (x**2).unsqueeze(-2)) / (2 * sigma**2)
    heat: Tensor = scores.flatten(2).softmax(dim=2).unflatten(2, (rows, columns))
    return heat
