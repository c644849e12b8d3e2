"""Official metrics of images: by hand, and against scikit-learn and torchmetrics."""

import inspect
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, matthews_corrcoef, roc_auc_score
from tests.reports.image_rows import ledger_of, rows_of
from torchmetrics.detection import MeanAveragePrecision

from clbench.core.errors import MetricError
from clbench.core.registry import IMAGE_METRICS
from clbench.reports.image_metrics._compute_images import challenge_report
from clbench.reports.image_metrics._measured_rows import MeasuredRows
from clbench.spec.ledger import SCHEMA


def metric(name: str) -> Callable[[MeasuredRows], float]:
    return IMAGE_METRICS.get(name).value


def classified(target: Sequence[int], probabilities: Any, names: Sequence[str] = ("b", "a", "c", "d")) -> MeasuredRows:
    """Names are not in the order of the alphabet, which nothing may suppose."""
    table = np.asarray(probabilities, np.float64)
    measures = [{f"probability/{names[c]}": p for c, p in enumerate(row)} for row in table.tolist()]
    return rows_of(measures, [names[c] for c in table.argmax(axis=1)], [names[c] for c in target])


def test_segmentation_is_the_mean_of_the_classes_means() -> None:
    rows = rows_of(
        [
            {"dice/a": 1.0, "dice/b": 0.5, "hausdorff/a": 0.0, "hausdorff/b": 4.0, "hd95/a": 0.0, "hd95/b": 3.0},
            {"dice/a": 0.0, "dice/b": 0.9, "hausdorff/a": 50.0, "hausdorff/b": 2.0, "hd95/a": 50.0, "hd95/b": 1.0},
        ]
    )
    assert metric("segmentation.dice")(rows) == pytest.approx((0.5 + 0.7) / 2)
    assert metric("segmentation.hausdorff")(rows) == pytest.approx((25 + 3) / 2)
    assert metric("segmentation.hd95")(rows) == pytest.approx((25 + 2) / 2)


def test_two_classes_by_hand() -> None:
    rows = classified([0, 0, 1, 1], [[0.9, 0.1], [0.4, 0.6], [0.6, 0.4], [0.2, 0.8]])
    assert metric("classification.auc")(rows) == 0.75  # of class 1: three of four pairs in order
    assert metric("classification.accuracy")(rows) == 0.5
    assert metric("classification.f1_macro")(rows) == 0.5
    assert metric("classification.mcc")(rows) == 0


@pytest.mark.parametrize("seed", range(6))
def test_classification_is_what_the_official_evaluator_asks_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    classes = 2 + seed % 3
    target = np.concatenate([np.arange(classes), rng.integers(0, classes, 40)])
    chances = rng.dirichlet(np.ones(classes), len(target))
    chances[np.arange(len(target)), target] += rng.random(len(target)) < 0.5
    chances /= chances.sum(axis=1, keepdims=True)
    guess = chances.argmax(axis=1)
    rows = classified(target.tolist(), chances)
    auc = (
        roc_auc_score(target, chances[:, 1])
        if classes == 2
        else roc_auc_score(target, chances, average="macro", multi_class="ovr")
    )
    assert metric("classification.auc")(rows) == pytest.approx(auc)
    assert metric("classification.accuracy")(rows) == pytest.approx(np.mean(target == guess))
    for average in ("macro", "weighted"):
        wanted = f1_score(target, guess, average=average, zero_division=0)
        assert metric(f"classification.f1_{average}")(rows) == pytest.approx(wanted)
    assert metric("classification.mcc")(rows) == pytest.approx(matthews_corrcoef(target, guess))


def test_what_the_official_evaluator_calls_0_is_undefined() -> None:
    rows = classified([0, 0, 1], [[0.5, 0.3, 0.2]] * 3)
    with pytest.raises(MetricError, match=r"^no image is of class 'c'$"):
        metric("classification.auc")(rows)
    rows = classified([0, 0], [[0.5, 0.3, 0.2]] * 2)
    with pytest.raises(MetricError, match=r"^no image is of class 'a' \(and 1 more classes\)$"):
        metric("classification.auc")(rows)
    with pytest.raises(MetricError, match=r"^all images are of class 'b'$"):
        metric("classification.mcc")(rows)
    diverged = MeasuredRows("task", ("a", "a"), ("a", "b"), ({"probability/a": 0.5, "probability/b": 0.5}, {}))
    with pytest.raises(MetricError, match=r"^1 of 2 samples have no measure 'probability/b'$"):
        metric("classification.auc")(diverged)
    nothing = MeasuredRows("task", ("a", "a"), ("a", "b"), ({}, {}))
    assert nothing.kind == "classification"
    with pytest.raises(MetricError, match=r"^no sample has probabilities that are numbers$"):
        metric("classification.auc")(nothing)


def test_a_model_that_always_says_the_same() -> None:
    rows = classified([0, 1, 2, 0], [[0.5, 0.3, 0.2]] * 4)
    assert metric("classification.mcc")(rows) == 0
    assert metric("classification.auc")(rows) == 0.5
    assert metric("classification.f1_macro")(rows) == pytest.approx(2 / 3 / 3)


BOX = st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(1, 20), st.integers(1, 20))
IMAGE = st.tuples(
    st.lists(st.tuples(BOX, st.integers(1, 9)), max_size=5), st.lists(BOX, max_size=4)
)  # few different confidences, so that there are ties


def boxed(images: Sequence[tuple[Any, Any]]) -> MeasuredRows:
    predictions = [
        json.dumps([[x, y, x + w, y + h, confidence / 10] for (x, y, w, h), confidence in found]) for found, _ in images
    ]
    targets = [json.dumps([[x, y, x + w, y + h] for x, y, w, h in true]) for _, true in images]
    return rows_of([{"iou": 0.5}] * len(images), predictions, targets)


@given(st.lists(IMAGE, min_size=1, max_size=4))
@settings(max_examples=40)
def test_average_precision_is_that_of_torchmetrics(images: list[tuple[Any, Any]]) -> None:
    rows = boxed(images)
    sizes = [len(json.loads(text)) for text in (*rows.prediction, *rows.target)]
    if max(sizes) < 2 or not any(true for _, true in images):
        with pytest.raises(MetricError, match="box"):
            metric("detection.map")(rows)
        return
    peer = MeanAveragePrecision(backend="pycocotools")
    for prediction, target in zip(map(json.loads, rows.prediction), map(json.loads, rows.target), strict=True):
        found = torch.tensor(prediction, dtype=torch.float64).reshape(-1, 5)
        true = torch.tensor(target, dtype=torch.float64).reshape(-1, 4)
        peer.update(
            [
                {
                    "boxes": found[:, :4],
                    "scores": found[:, 4],
                    "labels": torch.zeros(len(found), dtype=torch.long),
                }
            ],
            [{"boxes": true, "labels": torch.zeros(len(true), dtype=torch.long)}],
        )
    wanted = peer.compute()
    assert metric("detection.map")(rows) == pytest.approx(float(wanted["map"]), abs=1e-5)
    assert metric("detection.map50")(rows) == pytest.approx(float(wanted["map_50"]), abs=1e-5)


def test_average_precision_by_hand() -> None:
    """Ranked right, wrong, right, of two true boxes: precision 1 up to recall 1/2, then 2/3."""
    one, two, other = (0, 0, 10, 10), (30, 30, 10, 10), (60, 60, 10, 10)
    rows = boxed([([(one, 9), (other, 7)], [one]), ([(two, 5)], [two])])
    assert metric("detection.map50")(rows) == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)
    assert metric("detection.map")(rows) == metric("detection.map50")(rows)
    assert metric("detection.iou")(rows) == 0.5
    nothing = boxed([([], [one, two])])
    assert metric("detection.map")(nothing) == 0
    lost = rows_of([{"iou": 0.0}], ["[[null,0.0,1.0,1.0,0.9]]"], ["[[0.0,0.0,1.0,1.0],[5.0,5.0,6.0,6.0]]"])
    assert metric("detection.map")(lost) == 0


def test_regression_by_hand() -> None:
    assert metric("regression.mre")(rows_of([{"mre": 3.0}, {"mre": 6.0}])) == 4.5
    assert metric("regression.mae")(rows_of([{"mae": 1.0}, {"mae": 0.0}])) == 0.5


def test_the_report_of_a_mixed_stream() -> None:
    ledger = ledger_of(
        {
            "cyst": rows_of([{"dice/x": 0.5, "hausdorff/x": 4.0, "hd95/x": 3.0}]),
            "head": rows_of([{"dice/x": 1.0, "hausdorff/x": 0.0, "hd95/x": 0.0}]),
            "organ": classified([0, 1], [[0.8, 0.2], [0.1, 0.9]]),
            "lesion": classified([0, 0], [[0.8, 0.2], [0.4, 0.6]]),
            "nodule": rows_of([{"iou": 0.75}], ["[[0,0,1,1,0.5]]"], ["[[0,0,1,1]]"]),
            "femur": rows_of([{"mre": 7.0}]),
            "length": rows_of([{"mae": 2.0}]),
            "angle": rows_of([{"mae": 9.0}]),
            "words": None,
        }
    )
    report = challenge_report(ledger, 1, "task-id")
    assert report.tasks["head"] == {"dice": 1.0, "hausdorff": 0.0, "hd95": 0.0}
    assert report.tasks["nodule"] == {"iou": 0.75}  # no average precision of a single box
    assert report.tasks["femur"] == {"mre": 7.0}
    assert report.tasks["lesion"]["auc"] is None
    assert "words" not in report.tasks
    assert report.kinds["segmentation"] == {"dice": 0.75, "hausdorff": 2.0, "hd95": 1.5}
    assert report.kinds["regression"] == {"mre": 7.0, "mae": None}
    assert report.kinds["classification"]["accuracy"] == 0.75
    assert report.kinds["classification"]["auc"] is None
    assert report.undefined == {
        "lesion/auc": "no image is of class 'a'",
        "lesion/mcc": "all images are of class 'b'",
        "classification/auc": "not defined for task 'lesion'",
        "classification/mcc": "not defined for task 'lesion'",
        "regression/mae": "the values of 2 tasks have units of their own",
    }
    numbers = report.numbers()
    assert numbers["challenge/segmentation/dice"] == 0.75
    assert numbers["challenge/cyst/hausdorff"] == 4.0
    assert "challenge/lesion/auc" not in numbers
    json.dumps(report.model_dump(), allow_nan=False)


def test_other_versions_and_ledgers_without_measures_do_not_count() -> None:
    ledger = ledger_of({"cyst": rows_of([{"dice/x": 0.5}]), "words": None})
    assert challenge_report(ledger, 2, "task-id").numbers() == {}
    assert challenge_report(ledger, 1, "union").numbers() == {}
    assert challenge_report(SCHEMA.empty_table(), 1, "task-id").numbers() == {}


@given(st.permutations(range(8)))
@settings(max_examples=20)
def test_the_order_of_samples_does_not_matter(order: list[int]) -> None:
    rng = np.random.default_rng(5)
    table = rng.dirichlet(np.ones(3), 8)
    target = [0, 1, 2, 2, 1, 0, 0, 1]
    rows, other = classified(target, table), classified([target[i] for i in order], table[order])
    for name in ("auc", "accuracy", "f1_macro", "f1_weighted", "mcc"):
        found = metric(f"classification.{name}")
        assert found(other) == pytest.approx(found(rows))


@pytest.mark.parametrize("name", IMAGE_METRICS.names())
def test_every_metric_says_what_it_is(name: str) -> None:
    from clbench.reports.headings import ARROWS
    from clbench.reports.leaderboard.columns import read_docstring

    entry = IMAGE_METRICS.get(name)
    summary, facts, _ = read_docstring(inspect.getdoc(entry.value) or "")
    assert summary
    assert facts.keys() == {"Formula", "Unit", "Direction", "Source"}
    assert facts["Direction"].startswith(entry.details["direction"])
    assert entry.details["direction"] in ARROWS
