"""Losses and answers of heads, against MONAI, torchvision and arithmetic by hand."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from clbench.contracts import Task
from clbench.core.errors import ConfigError
from clbench.learners._vit.dense_losses import (
    centre_heatmap,
    dice_loss,
    focal_loss,
    gaussian_radius,
    giou_loss,
    point_heatmap,
)
from clbench.learners._vit.heads import BoxHead, ClassHead, Head, MaskHead, PointHead, ValueHead, head_for
from clbench.learners._vit.heads.point_head import mean_position
from clbench.learners._vit.trunk import Features

WIDTH = 16


def features(n: int = 4, side: int = 4) -> Features:
    generator = torch.Generator().manual_seed(0)
    return Features(
        torch.randn(n, 2 * WIDTH, generator=generator), torch.randn(n, WIDTH, side, side, generator=generator)
    )


def task(kind: Any, **values: Any) -> Task:
    return Task("t", kind, "none", lambda split: None, lambda split: "", **values)


def test_dice_loss_is_monais() -> None:
    from monai.losses.dice import DiceLoss

    scores = torch.randn(3, 4, 8, 8)
    target = torch.randint(4, (3, 8, 8))
    theirs = DiceLoss(include_background=False, softmax=True, to_onehot_y=True, batch=True, smooth_nr=1, smooth_dr=1)
    assert torch.allclose(dice_loss(scores.softmax(1), target), theirs(scores, target.unsqueeze(1)))


def test_giou_loss_is_torchvisions() -> None:
    from torchvision.ops import generalized_box_iou_loss

    low, size = torch.rand(50, 2), torch.rand(50, 2)
    one = torch.cat([low, low + size], dim=1)
    two = one.roll(1, 0)
    assert torch.allclose(giou_loss(one, two), generalized_box_iou_loss(one, two), atol=1e-5)


def test_focal_loss_by_hand() -> None:
    """One centre with p = 1/2, one place with target 1/2 and p = 1/2, one empty place with p = 1/4."""
    scores = torch.tensor([[[0.0, 0.0, -math.log(3)]]])
    heat = torch.tensor([[[1.0, 0.5, 0.0]]])
    wanted = -(0.25 * math.log(0.5) + 0.5**4 * 0.25 * math.log(0.5) + 0.0625 * math.log(0.75))
    assert float(focal_loss(scores, heat)) == pytest.approx(wanted)


@settings(max_examples=60)
@given(st.floats(2, 60), st.floats(2, 60))
def test_the_radius_keeps_the_overlap(height: float, width: float) -> None:
    """Corners off by the radius, outwards, inwards or the same way: IoU is at least 0.7, and just so in the worst."""
    r = float(gaussian_radius(torch.tensor(height, dtype=torch.float64), torch.tensor(width, dtype=torch.float64)))
    area = height * width
    outwards = area / ((height + 2 * r) * (width + 2 * r))
    inwards = (height - 2 * r) * (width - 2 * r) / area
    both = (height - r) * (width - r)
    assert min(outwards, inwards, both / (2 * area - both)) == pytest.approx(0.7, abs=1e-6)


def test_the_centre_heatmap_by_hand() -> None:
    boxes = torch.tensor([[[0.1, 0.1, 0.3, 0.5], [0.0, 0.0, 0.0, 0.0]]])
    heat = centre_heatmap(boxes, torch.tensor([[True, False]]), 10, 20)
    assert heat.shape == (1, 10, 20)
    assert heat[0, 3, 4] == 1
    assert int((heat == 1).sum()) == 1
    radius = math.floor(float(gaussian_radius(torch.tensor(4.0), torch.tensor(4.0))))
    sigma = (2 * radius + 1) / 6
    assert float(heat[0, 4, 6]) == pytest.approx(math.exp(-(1 + 4) / (2 * sigma**2)), rel=1e-4)


@settings(max_examples=30)
@given(st.floats(0.25, 0.75), st.floats(0.25, 0.75))
def test_the_mean_position_of_a_points_heatmap_is_the_point(x: float, y: float) -> None:
    heat = point_heatmap(torch.tensor([[[x, y]]]), 48, 32, 2.0)
    assert float(heat.sum()) == pytest.approx(1, abs=1e-5)
    assert mean_position(heat.log())[0, 0].tolist() == pytest.approx([x, y], abs=2e-3)


def test_points_that_are_right_cost_nothing() -> None:
    points = torch.tensor([[[0.4, 0.6], [0.5, 0.3]]])
    answer = point_heatmap(points, 32, 32, 2.0).clamp(min=1e-30).log()
    assert float(PointHead(WIDTH, 2).loss(answer, {"points": points})) == pytest.approx(0, abs=1e-2)


def test_a_box_that_is_told_rightly_comes_back() -> None:
    head = BoxHead(WIDTH, 2)
    answer = torch.full((1, 5, 10, 20), -9.0)
    for (row, column), heat, size in (((3, 4), 2.0, (0.2, 0.4)), ((7, 15), 1.0, (0.1, 0.2))):
        answer[0, 0, row, column] = heat
        answer[0, 1:3, row, column] = 0.0
        answer[0, 3:5, row, column] = torch.logit(torch.tensor(size))
    answer[0, 0, 3, 5] = 1.5  # beside the first peak and lower: no peak
    boxes = head.predict(answer, 99)[0]
    centres = [((4.5) / 20, 3.5 / 10), (15.5 / 20, 7.5 / 10)]
    for box, (x, y), (w, h), heat in zip(boxes, centres, ((0.2, 0.4), (0.1, 0.2)), (2.0, 1.0), strict=True):
        wanted = [x - w / 2, y - h / 2, x + w / 2, y + h / 2, 1 / (1 + math.exp(-heat))]
        assert box.tolist() == pytest.approx(wanted, abs=1e-5)


def test_a_perfect_box_costs_little_and_padding_nothing() -> None:
    head = BoxHead(WIDTH, 1)
    boxes = torch.tensor([[[0.125, 0.15, 0.325, 0.55]]])
    answer = torch.full((1, 5, 10, 20), -20.0)
    centre, place = boxes[0, 0, :2] / 2 + boxes[0, 0, 2:] / 2, (3, 4)
    offset = centre * torch.tensor([20.0, 10.0]) - torch.tensor([4.0, 3.0])
    answer[0, 0, place[0], place[1]] = 20
    answer[0, 1:3, place[0], place[1]] = torch.logit(offset)
    answer[0, 3:5, place[0], place[1]] = torch.logit(boxes[0, 0, 2:] - boxes[0, 0, :2])
    loss = float(head.loss(answer, {"boxes": boxes}))
    assert loss == pytest.approx(0, abs=1e-4)
    padded = torch.cat([boxes, torch.zeros(1, 1, 4)], dim=1)
    assert float(head.loss(answer, {"boxes": padded})) == pytest.approx(loss)


def test_values_are_learnt_on_their_range_and_told_in_their_unit() -> None:
    head = ValueHead(WIDTH, (10.0, 30.0))
    assert head.predict(torch.tensor([0.25]), 9).tolist() == [15.0]
    found = head.loss(torch.tensor([0.5]), {"value": torch.tensor([26.0])})
    assert float(found) == pytest.approx(0.3 - 0.05)


MAKERS: dict[str, Callable[[], tuple[Head, dict[str, Tensor]]]] = {
    "classes": lambda: (ClassHead(WIDTH, 3), {"label": torch.tensor([0, 1, 2, 1])}),
    "masks": lambda: (MaskHead(WIDTH, 3), {"mask": F.pad(torch.ones(4, 16, 16), (8, 8, 8, 8)).byte()}),
    "boxes": lambda: (BoxHead(WIDTH, 1), {"boxes": torch.tensor([[[0.2, 0.2, 0.7, 0.6]]]).repeat(4, 1, 1)}),
    "points": lambda: (PointHead(WIDTH, 2), {"points": torch.rand(4, 2, 2)}),
    "value": lambda: (ValueHead(WIDTH, (0.0, 9.0)), {"value": torch.tensor([1.0, 5.0, 2.0, 8.0])}),
}


@pytest.mark.parametrize("name", MAKERS)
def test_every_head_can_be_learnt_and_has_no_statistics_of_batches(name: str) -> None:
    torch.manual_seed(0)
    head, batch = MAKERS[name]()
    assert not list(head.buffers())
    head.eval()
    seen = features()
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        loss = head.loss(head(seen), batch)
        torch.autograd.backward(loss)
        assert all(p.grad is not None for p in head.parameters())
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("classification", {}, "needs its classes, got none"),
        ("segmentation", {"classes": ("background",)}, "needs its classes, the background first, got none"),
        ("regression", {}, "needs its value_range, got none"),
        ("generation", {}, "has no head for generation .known: classification, segmentation"),
    ],
)
def test_tasks_that_do_not_say_enough(kind: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        head_for(task(kind, **values), WIDTH)


def test_heads_by_kind() -> None:
    assert isinstance(head_for(task("classification", classes=("a", "b")), WIDTH), ClassHead)
    assert isinstance(head_for(task("segmentation", classes=("a", "b")), WIDTH), MaskHead)
    assert isinstance(head_for(task("detection", boxes=3), WIDTH), BoxHead)
    assert isinstance(head_for(task("regression", points=3), WIDTH), PointHead)
    assert isinstance(head_for(task("regression", value_range=(0, 1)), WIDTH), ValueHead)
