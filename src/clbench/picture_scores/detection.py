"""Detection: how well boxes overlap."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from clbench.picture_scores.scorer import Numbers, PictureScore, PictureScorer, Truth

CONFIDENT = 0.5
"""Where a picture may have several boxes, those of at least this confidence count in the score of the picture."""


@dataclass(frozen=True, eq=False)
class Boxes(Truth):
    """The true boxes of a picture, `(n, 4)`: x_min, y_min, x_max, y_max in pixels."""

    boxes: Numbers


def iou(first: npt.ArrayLike, second: npt.ArrayLike) -> Numbers:
    """Intersection over union of every box with every other, `(m, n)`.

    A box whose minimum is above its maximum, or that is not finite, overlaps nothing.

    Args:
        first: `(m, 4)`, x_min, y_min, x_max, y_max.
        second: `(n, 4)`.
    """
    a = np.asarray(first, np.float64).reshape(-1, 1, 4)
    b = np.asarray(second, np.float64).reshape(1, -1, 4)
    with np.errstate(invalid="ignore"):
        sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
        shared = np.prod(np.clip(sides, 0, None), axis=-1)
        area_a, area_b = (np.prod(np.clip(box[..., 2:] - box[..., :2], 0, None), axis=-1) for box in (a, b))
        union = area_a + area_b - shared
        return np.where((union > 0) & np.isfinite(union), shared / np.where(union > 0, union, 1), 0.0)


def matched_iou(predicted: Numbers, true: Numbers) -> float:
    """IoU of the best one-to-one match, summed and divided by the larger number of boxes; 1 where there are none.

    With one box on either side it is their IoU; a box too many or too few counts as an overlap of 0.
    """
    from scipy.optimize import linear_sum_assignment

    most = max(len(predicted), len(true))
    if not most:
        return 1.0
    overlaps = iou(predicted, true)
    rows, columns = linear_sum_assignment(-overlaps)
    return float(overlaps[rows, columns].sum() / most)


class Detection(PictureScorer[Boxes]):
    """IoU of the box; where there may be several, of the best match of those that the model is confident of.

    Measures: `iou`, the same number.
    """

    def truth(self, row: Mapping[str, Any]) -> Boxes:
        """Take the boxes."""
        boxes = np.array(row["boxes"], np.float64).reshape(-1, 4)
        return Boxes((row["size"][0], row["size"][1]), boxes_text(boxes.tolist()), boxes)

    def score(self, truth: Boxes, prediction: npt.NDArray[Any]) -> PictureScore:
        """Compare boxes `(boxes, 5)`: fractions of width and height, and confidence, the highest first."""
        height, width = truth.size
        found = np.asarray(prediction, np.float64) * (width, height, width, height, 1)
        chosen = found[:1] if self.task.boxes == 1 else found[found[:, 4] >= CONFIDENT]
        overlap = matched_iou(chosen[:, :4], truth.boxes)
        kept = found[:1] if self.task.boxes == 1 else found[found[:, 4] > 0]
        return PictureScore(boxes_text(kept.tolist()), truth.text, overlap, {"iou": overlap})


def boxes_text(boxes: Sequence[Sequence[float]]) -> str:
    """Boxes as JSON: pixels with one decimal, then the confidence, where there is one, with four."""
    rounded = [
        [*(_rounded(side, 1) for side in box[:4]), *(_rounded(confidence, 4) for confidence in box[4:])]
        for box in boxes
    ]
    return json.dumps(rounded, separators=(",", ":"))


def _rounded(number: float, digits: int) -> float | None:
    """A number as JSON can hold it."""
    return round(number, digits) if np.isfinite(number) else None
