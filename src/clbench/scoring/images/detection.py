"""Scores of detection, by the overlap of boxes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from clbench.scoring.images.box_overlap import Numbers, matched_iou
from clbench.scoring.images.scorer import ImageScore, ImageScorer, Truth

CONFIDENT = 0.5
"""Lowest confidence of the boxes that count in an image's score, in tasks with several boxes per image."""


@dataclass(frozen=True, eq=False)
class Boxes(Truth):
    """The true boxes of an image, `(n, 4)`: x_min, y_min, x_max, y_max in pixels."""

    boxes: Numbers


class Detection(ImageScorer[Boxes]):
    """IoU of the box; in tasks with several boxes, `matched_iou` of those with enough confidence.

    Measures: `iou`, the same number.
    """

    def truth(self, row: Mapping[str, Any]) -> Boxes:
        """The boxes of a row."""
        boxes = np.array(row["boxes"], np.float64).reshape(-1, 4)
        return Boxes((row["size"][0], row["size"][1]), boxes_text(boxes.tolist()), boxes)

    def score(self, truth: Boxes, prediction: npt.NDArray[Any]) -> ImageScore:
        """Compare boxes `(boxes, 5)`: fractions of width and height, then confidence, highest first."""
        height, width = truth.size
        found = np.asarray(prediction, np.float64) * (width, height, width, height, 1)
        chosen = found[:1] if self.task.boxes == 1 else found[found[:, 4] >= CONFIDENT]
        overlap = matched_iou(chosen[:, :4], truth.boxes)
        kept = found[:1] if self.task.boxes == 1 else found[found[:, 4] > 0]
        return ImageScore(boxes_text(kept.tolist()), truth.text, overlap, {"iou": overlap})


def boxes_text(boxes: Sequence[Sequence[float]]) -> str:
    """Boxes as JSON: pixels with one decimal, then the confidence, if there is one, with four decimals."""
    rounded = [
        [*(_rounded(side, 1) for side in box[:4]), *(_rounded(confidence, 4) for confidence in box[4:])]
        for box in boxes
    ]
    return json.dumps(rounded, separators=(",", ":"))


def _rounded(number: float, digits: int) -> float | None:
    """A rounded number; None, which JSON can hold, if it is not finite."""
    return round(number, digits) if np.isfinite(number) else None
