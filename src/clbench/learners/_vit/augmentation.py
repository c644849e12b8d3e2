"""Random views of images together with their masks, boxes and points, for a whole batch at once on its device."""

import torch
from torch import Tensor

from clbench.contracts import Batch
from clbench.core.devices import to_device
from clbench.learners._shared.random_views import resample, sampling_grid

SHIFT = 0.05
"""Largest shift along each axis, as a fraction of the image."""
ZOOM = 0.1
"""The side of a view is 1 - ZOOM to 1 + ZOOM of the image's side."""
CONTRAST = 0.2
"""Values are multiplied by 1 - CONTRAST to 1 + CONTRAST."""
GAIN = 0.08
"""Then -GAIN to GAIN is added."""


def augmented(batch: Batch, generator: torch.Generator) -> Batch:
    """Shift and zoom every image, mirror half of those that may be mirrored, change contrast and gain.

    Masks, boxes and points are moved with the image. Only left and right are mirrored, never depth, and only in samples
    whose `mirror` is true. Images with a `value` are not zoomed, since the value may be a length.

    Args:
        batch: `image` `(n, 3, h, w)` in [0, 1], `mirror` `(n,)` bool, and targets: `mask`, `boxes`, `points`, `value`.
        generator: Source of randomness, on the CPU.

    Returns:
        The batch with changed images and targets.
    """
    image = batch["image"]
    draw = torch.rand(6, len(image), generator=generator)
    zoom = 1 + ZOOM * (2 * draw[0] - 1) * ("value" not in batch)
    shift = 2 * SHIFT * (2 * draw[1:3] - 1)
    draw, zoom, shift = (to_device(part, image.device) for part in (draw, zoom, shift))
    side = torch.where(batch["mirror"] & (draw[3] < 0.5), -1.0, 1.0)
    view = {**batch, **_moved(batch, zoom, shift, side)}
    view["image"] = _with_tone(view["image"], draw[4], draw[5])
    return view


def _moved(batch: Batch, zoom: Tensor, shift: Tensor, side: Tensor) -> Batch:
    """Image and targets of the view whose pixel x in [-1, 1] comes from `side * zoom * x + shift`, without side for y.

    Args:
        batch: As for `augmented`.
        zoom: Side of the view relative to the image, `(n,)`.
        shift: Centre of the view, x and y, `(2, n)`, in coordinates from -1 to 1.
        side: -1 for views that are mirrored, else 1, `(n,)`.
    """
    scale = torch.stack([side * zoom, zoom], dim=-1)
    image = batch["image"]
    grid = sampling_grid(scale, shift.T, image)
    found = {"image": resample(image, grid, "bilinear")}
    if "mask" in batch:
        found["mask"] = resample(batch["mask"].unsqueeze(1).float(), grid, "nearest").squeeze(1).byte()
    if "points" in batch:
        found["points"] = _moved_points(batch["points"], scale, shift.T)
    if "boxes" in batch:
        found["boxes"] = _moved_boxes(batch["boxes"], scale, shift.T)
    return found


def _moved_points(points: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Points `(n, points, 2)`, fractions of width and height, in the view."""
    before = 2 * points - 1
    return ((before - shift.unsqueeze(1)) / scale.unsqueeze(1) + 1) / 2


def _moved_boxes(boxes: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Boxes `(n, boxes, 4)` in the view, cut at its edges; rows of zeros, which are padding, stay zero."""
    one, two = _moved_points(boxes[..., :2], scale, shift), _moved_points(boxes[..., 2:], scale, shift)
    moved = torch.cat([torch.minimum(one, two), torch.maximum(one, two)], dim=-1).clamp(0, 1)
    real = (boxes[..., 2:] > boxes[..., :2]).all(dim=-1, keepdim=True)
    return moved * real


def _with_tone(image: Tensor, contrast: Tensor, gain: Tensor) -> Tensor:
    """The image with changed contrast and gain, by draws in [0, 1]; black, which means no signal, stays black."""
    factor = (1 + CONTRAST * (2 * contrast - 1)).view(-1, 1, 1, 1)
    offset = (GAIN * (2 * gain - 1)).view(-1, 1, 1, 1)
    return (image * factor + offset * (image > 0)).clamp(0, 1)
