"""Boxes, keypoints and values: arithmetic by hand, torchvision's IoU, and what must hold for any of them."""

import itertools
import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.image_tasks import image_task, scorer_of
from torchvision.ops import box_iou

from clbench.core.errors import ConfigError
from clbench.scoring.images.box_overlap import iou, matched_iou

SIZE = [300, 400]  # whose diagonal is 500
SIDES = hnp.arrays(np.float64, (3, 4), elements=st.floats(0, 100, width=32))


def boxes_of(sides: Any) -> Any:
    """Proper boxes from any numbers."""
    return np.concatenate([np.minimum(sides[:, :2], sides[:, 2:]), np.maximum(sides[:, :2], sides[:, 2:])], axis=1)


def detect(prediction: Any, truth: Any, boxes: int = 1) -> Any:
    scorer = scorer_of(image_task("iou", boxes=boxes))
    fractions = np.asarray(prediction, np.float64) / (400, 300, 400, 300, 1)
    return scorer.score(scorer.truth({"sample_id": "a", "size": SIZE, "boxes": truth}), fractions)


def regress(metric: str, prediction: Any, truth: dict[str, Any], **facts: Any) -> Any:
    scorer = scorer_of(image_task(metric, **facts))
    return scorer.score(scorer.truth({"sample_id": "a", "size": SIZE, **truth}), np.asarray(prediction, np.float32))


def test_a_box_by_hand() -> None:
    found = detect([[0, 0, 20, 10, 0.25]], [[10, 0, 30, 10]])
    assert found.score == pytest.approx(100 / 300)  # confidence does not matter where there is one box
    assert found.measures == {"iou": found.score}
    assert json.loads(found.prediction) == [[0, 0, 20, 10, 0.25]]
    assert json.loads(found.target) == [[10, 0, 30, 10]]
    assert detect([[0, 0, 20, 10, 1]], [[20, 0, 30, 10]]).score == 0  # touching is no overlap


@pytest.mark.parametrize("box", [[30, 10, 10, 0], [5, 5, 5, 5], [np.nan, 0, 1, 1], [0, 0, np.inf, np.inf]])
def test_what_is_no_box_overlaps_nothing(box: list[float]) -> None:
    """The official evaluator multiplies two negative sides to an area instead."""
    found = detect([[*box, 0.9]], [[10, 0, 30, 10]])
    assert found.score == 0
    json.loads(found.prediction, parse_constant=pytest.fail)


@given(SIDES, SIDES)
@settings(max_examples=60)
def test_overlaps_are_those_of_torchvision(first: Any, second: Any) -> None:
    a, b = boxes_of(first), boxes_of(second)
    with np.errstate(invalid="ignore"):
        wanted = np.nan_to_num(box_iou(torch.from_numpy(a), torch.from_numpy(b)).numpy())
    np.testing.assert_allclose(iou(a, b), wanted, atol=1e-9)


@given(SIDES, SIDES, st.integers(0, 3), st.integers(0, 3))
@settings(max_examples=60)
def test_the_match_is_the_best_there_is(first: Any, second: Any, m: int, n: int) -> None:
    a, b = boxes_of(first)[:m], boxes_of(second)[:n]
    found = matched_iou(a, b)
    table = iou(a, b)
    pairs = (
        [zip(order, range(n), strict=True) for order in itertools.permutations(range(m), n)]
        if m >= n
        else [zip(range(m), order, strict=True) for order in itertools.permutations(range(n), m)]
    )
    best = max(sum(float(table[pair]) for pair in chosen) for chosen in pairs)
    assert found == pytest.approx(best / max(m, n) if m or n else 1.0)
    assert 0 <= found <= 1
    assert matched_iou(b, a) == pytest.approx(found)
    assert matched_iou(a[::-1], b) == pytest.approx(found)


def test_several_boxes_by_hand() -> None:
    truth = [[0, 0, 10, 10], [50, 50, 60, 60]]
    sure = [[50, 50, 60, 60, 0.9], [0, 0, 10, 5, 0.6], [200, 200, 210, 210, 0.4], [0, 0, 0, 0, 0]]
    found = detect(sure, truth, boxes=4)
    assert found.score == pytest.approx((1 + 0.5) / 2)  # the third is not confident
    assert json.loads(found.prediction) == sure[:3]  # the fourth is not meant at all
    assert detect([[*truth[0], 0.9], [200, 200, 210, 210, 0.5]], truth, boxes=4).score == pytest.approx(0.5)
    assert detect([[*truth[0], 0.2]], truth, boxes=4).score == 0


def test_keypoints_by_hand() -> None:
    truth = {"points": [[100.0, 60.0], [200.0, 150.0], [10.0, 20.0]]}
    found = regress("point_accuracy", [[103 / 400, 64 / 300], [0.5, 0.5], [0.9, 0.9]], truth)
    far = np.hypot(350, 250)
    assert found.measures == {"mre": pytest.approx((5 + 0 + far) / 3, rel=1e-5)}
    assert found.score == pytest.approx((1 - 5 / 50 + 1 + 0) / 3, rel=1e-5)
    assert json.loads(found.target) == truth["points"]
    assert json.loads(found.prediction)[:2] == [[103.0, 64.0], [200.0, 150.0]]


def test_a_value_by_hand() -> None:
    found = regress("value_accuracy", 130.5, {"value": 120.0}, value_range=(80.0, 150.0), unit="mm")
    assert found.measures == {"mae": 10.5}
    assert found.score == pytest.approx(1 - 10.5 / 70)
    assert (found.prediction, found.target) == ("130.5", "120.0")
    assert regress("value_accuracy", 300.0, {"value": 120.0}, value_range=(80.0, 150.0)).score == 0


def test_what_is_not_finite_is_as_wrong_as_can_be() -> None:
    found = regress("point_accuracy", [[np.nan, 0.5], [0.5, 0.5]], {"points": [[200.0, 150.0]] * 2})
    assert (found.score, found.measures["mre"]) == (0.5, 250.0)
    json.loads(found.prediction, parse_constant=pytest.fail)
    found = regress("value_accuracy", np.inf, {"value": 1.0}, value_range=(0.0, 4.0))
    assert (found.score, found.measures["mae"]) == (0.0, 4.0)


@given(hnp.arrays(np.float64, (4, 2), elements=st.floats(0, 1)), st.permutations(range(4)))
@settings(max_examples=60)
def test_what_must_hold_for_any_keypoints(points: Any, order: list[int]) -> None:
    truth = np.array([[10, 20], [200, 100], [390, 280], [0, 0]], np.float64)
    found = regress("point_accuracy", points, {"points": truth.tolist()})
    assert 0 <= found.score <= 1
    assert 0 <= found.measures["mre"] <= 500
    other = regress("point_accuracy", points[order], {"points": truth[order].tolist()})
    assert other.measures["mre"] == pytest.approx(found.measures["mre"])
    perfect = regress("point_accuracy", truth / (400, 300), {"points": truth.tolist()})
    assert perfect.score == pytest.approx(1)


@pytest.mark.parametrize("wrong", [None, (3.0, 3.0), (4.0, 1.0)])
def test_a_value_needs_a_range(wrong: Any) -> None:
    with pytest.raises(ConfigError, match=r"^task 'task': value_accuracy wants the range of the values, got"):
        scorer_of(image_task("value_accuracy", value_range=wrong))
