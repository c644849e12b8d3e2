"""Random views of images, with the masks, boxes and points that belong to them, for a whole batch at once."""

import torch
import torch.nn.functional as F
from torch import Tensor

from clbench.contracts import Batch

SHIFT = 0.05
"""Furthest shift along each axis, as a fraction of the image."""
ZOOM = 0.1
"""A side of what is seen is 1 - ZOOM to 1 + ZOOM of the image's."""
CONTRAST = 0.2
GAIN = 0.08


def augmented(batch: Batch, generator: torch.Generator) -> Batch:
    """Shift and zoom every image a little, mirror it where that is harmless, change contrast and gain.

    Masks, boxes and points go along. Depth is never mirrored. Left and right are mirrored, in half of the views, where
    the batch's `mirror` says so. Images with a `value` are not zoomed: it may be a length.

    Args:
        batch: `image` `(n, 3, h, w)` in [0, 1], and what there is of `mask`, `boxes`, `points`, `value`, `mirror`.
        generator: On the CPU.
    """
    image = batch["image"]
    draw = torch.rand(6, len(image), generator=generator)
    zoom = 1 + ZOOM * (2 * draw[0] - 1) * ("value" not in batch)
    shift = 2 * SHIFT * (2 * draw[1:3] - 1)
    draw, zoom, shift = (part.to(image.device, non_blocking=True) for part in (draw, zoom, shift))
    side = torch.where(batch["mirror"] & (draw[3] < 0.5), -1.0, 1.0)
    view = {**batch, **_moved(batch, zoom, shift, side)}
    view["image"] = _toned(view["image"], draw[4], draw[5])
    return view


def _moved(batch: Batch, zoom: Tensor, shift: Tensor, side: Tensor) -> Batch:
    """What a view shows at x in [-1, 1] was at `side zoom x + shift` before, and at `zoom y + shift` down."""
    theta = torch.zeros(len(zoom), 2, 3, device=zoom.device)
    theta[:, 0, 0], theta[:, 1, 1] = side * zoom, zoom
    theta[:, 0, 2], theta[:, 1, 2] = shift
    scale = torch.stack([side * zoom, zoom], dim=-1)
    image = batch["image"]
    found: dict[str, Tensor] = {}
    with torch.autocast(image.device.type, enabled=False):  # bfloat16 would round the grid to whole pixels
        grid = F.affine_grid(theta, [len(zoom), 1, *image.shape[-2:]], align_corners=False)
        found["image"] = F.grid_sample(image, grid, mode="bilinear", align_corners=False)
        if "mask" in batch:
            mask = batch["mask"].unsqueeze(1).float()
            found["mask"] = F.grid_sample(mask, grid, mode="nearest", align_corners=False).squeeze(1).byte()
    if "points" in batch:
        found["points"] = _placed(batch["points"], scale, shift.T)
    if "boxes" in batch:
        found["boxes"] = _moved_boxes(batch["boxes"], scale, shift.T)
    return found


def _placed(points: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Where points `(n, points, 2)`, fractions, are in the view."""
    before = 2 * points - 1
    return ((before - shift.unsqueeze(1)) / scale.unsqueeze(1) + 1) / 2


def _moved_boxes(boxes: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Boxes `(n, boxes, 4)` in the view, cut at its edges; rows of zeros, which are none, stay so."""
    one, two = _placed(boxes[..., :2], scale, shift), _placed(boxes[..., 2:], scale, shift)
    moved = torch.cat([torch.minimum(one, two), torch.maximum(one, two)], dim=-1).clamp(0, 1)
    there = (boxes[..., 2:] > boxes[..., :2]).all(dim=-1, keepdim=True)
    return moved * there


def _toned(image: Tensor, contrast: Tensor, gain: Tensor) -> Tensor:
    """Contrast times the image plus gain, where it is not black: outside a sector nothing was received."""
    factor = (1 + CONTRAST * (2 * contrast - 1)).view(-1, 1, 1, 1)
    more = (GAIN * (2 * gain - 1)).view(-1, 1, 1, 1)
    return (image * factor + more * (image > 0)).clamp(0, 1)
