"""Detection: overlap of boxes, and average precision where an image may have several."""

import json

import numpy as np

from clbench.core.errors import MetricError
from clbench.core.registry import IMAGE_METRICS
from clbench.reports.image_metrics._measured_rows import DoesNotApplyError, MeasuredRows
from clbench.scoring.images.box_overlap import Numbers
from clbench.scoring.images.box_overlap import iou as iou_of

THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())
RECALLS = np.linspace(0, 1, 101)
MOST = 100
"""Boxes of an image that count, the most confident ones."""


@IMAGE_METRICS.register("detection.iou", direction="higher")
def iou(rows: MeasuredRows) -> float:
    """Intersection over union of the predicted box and the true one, mean over images.

    Formula: mean over images of |P and T| / |P or T|
    Unit: a share
    Direction: higher is better
    Source: official evaluator of FMC_UIA 2026, IoU

    Where images may have several boxes: those with a confidence of at least 0.5 in the best one-to-one match with the
    true ones, summed and divided by the larger number of boxes.

    Raises:
        MetricError: When a sample lacks the measure.
    """
    return float(rows.values("iou").mean())


@IMAGE_METRICS.register("detection.map", direction="higher")
def mean_average_precision(rows: MeasuredRows) -> float:
    """Average precision of all boxes by their confidence, mean over ten thresholds of overlap; of one class of boxes.

    Formula: mean over IoU thresholds 0.50, 0.55, ..., 0.95 of (mean over recalls 0, 0.01, ..., 1 of the highest
        precision at that recall or a higher one)
    Unit: a share
    Direction: higher is better
    Source: COCO (pycocotools, torchmetrics' MeanAveragePrecision), AP

    Computed from the ledger's texts: pixels to one decimal, confidences to four.

    Raises:
        DoesNotApplyError: Where no image has more than one box.
        MetricError: When there is no true box.
    """
    return float(np.mean([_average_precision(rows, threshold) for threshold in THRESHOLDS]))


@IMAGE_METRICS.register("detection.map50", direction="higher")
def average_precision_at_half(rows: MeasuredRows) -> float:
    """Average precision of all boxes by their confidence, those right that overlap by half; of one class of boxes.

    Formula: mean over recalls 0, 0.01, ..., 1 of the highest precision at that recall or a higher one, IoU at least 0.5
    Unit: a share
    Direction: higher is better
    Source: COCO (pycocotools, torchmetrics' MeanAveragePrecision), AP50

    Raises:
        DoesNotApplyError: Where no image has more than one box.
        MetricError: When there is no true box.
    """
    return _average_precision(rows, THRESHOLDS[0])


def _average_precision(rows: MeasuredRows, threshold: float) -> float:
    predictions, targets = (list(map(_boxes, texts)) for texts in (rows.prediction, rows.target))
    if max(map(len, [*predictions, *targets]), default=0) < 2:
        raise DoesNotApplyError("no image has more than one box")
    true = sum(map(len, targets))
    if not true:
        raise MetricError("no image has a true box")
    confidence, right = [], []
    for found, target in zip(predictions, targets, strict=True):
        best = found[np.argsort(-found[:, 4], kind="stable")][:MOST]
        confidence += best[:, 4].tolist()
        right += _matched(iou_of(best[:, :4], target[:, :4]), threshold)
    hits = np.cumsum(np.array(right, bool)[np.argsort(-np.array(confidence), kind="stable")])
    precision = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1]
    place = np.searchsorted(hits / true, RECALLS, side="left")
    return float(np.append(precision, 0.0)[place].mean())


def _matched(overlaps: Numbers, threshold: float) -> list[bool]:
    """Whether each predicted box, the most confident first, finds a true one that no earlier box has taken."""
    free = np.ones(overlaps.shape[1], bool)
    right = []
    for row in overlaps:
        candidates = np.where(free, row, -1.0)
        best = (
            len(candidates) - 1 - int(candidates[::-1].argmax()) if len(candidates) else -1
        )  # COCO: the last of equals
        right.append(best >= 0 and bool(candidates[best] >= threshold))
        if right[-1]:
            free[best] = False
    return right


def _boxes(text: str) -> Numbers:
    """Boxes of a ledger's text `(n, 5)`, the confidence 0 where there is none; those that are not finite left out."""
    found = [[*box, 0.0][:5] for box in json.loads(text) if None not in box]
    return np.array(found, np.float64).reshape(-1, 5)
