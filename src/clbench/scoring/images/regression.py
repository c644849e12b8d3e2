"""Scores of regression, by the distance of keypoints or of a value from the truth."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from clbench.core.errors import ConfigError
from clbench.scoring.images.scorer import ImageScore, ImageScorer, Numbers, Truth

if TYPE_CHECKING:
    from clbench.spec.task import Task

LARGEST_ERROR = 0.1
"""Distance of a keypoint from the truth at which its score is 0, as a fraction of the image's diagonal."""


@dataclass(frozen=True, eq=False)
class Points(Truth):
    """The true keypoints of an image, `(n, 2)`: x, y in pixels."""

    points: Numbers


@dataclass(frozen=True, eq=False)
class Value(Truth):
    """The true value of an image, in its unit."""

    value: float


class PointAccuracy(ImageScorer[Points]):
    """Mean over the keypoints of max(0, 1 - error / (a tenth of the image's diagonal)).

    Measures: `mre` (mean radial error), the mean distance from the true keypoints in pixels of the original image. The
    error of a prediction that is not finite is the diagonal.
    """

    def truth(self, row: Mapping[str, Any]) -> Points:
        """The keypoints of a row."""
        points = np.array(row["points"], np.float64).reshape(-1, 2)
        return Points((row["size"][0], row["size"][1]), _points_text(points), points)

    def score(self, truth: Points, prediction: npt.NDArray[Any]) -> ImageScore:
        """Compare keypoints `(points, 2)` as fractions of width and height."""
        height, width = truth.size
        points = np.asarray(prediction, np.float64) * (width, height)
        errors = np.linalg.norm(points - truth.points, axis=-1)
        errors = np.where(np.isfinite(errors), errors, truth.diagonal)
        score = float(np.clip(1 - errors / (LARGEST_ERROR * truth.diagonal), 0, None).mean())
        return ImageScore(_points_text(points), truth.text, score, {"mre": float(errors.mean())})


class ValueAccuracy(ImageScorer[Value]):
    """max(0, 1 - error / width of the task's range of values).

    Measures: `mae`, the absolute error in the value's unit. The error of a prediction that is not finite is that width.

    Raises:
        ConfigError: For a task without a range.
    """

    def __init__(self, task: "Task") -> None:
        super().__init__(task)
        low, high = task.value_range or (0.0, 0.0)
        if not low < high:
            raise ConfigError(
                f"task {task.name!r}: value_accuracy wants the range of the values, got {task.value_range}"
            )
        self._width = high - low

    def truth(self, row: Mapping[str, Any]) -> Value:
        """The value of a row."""
        value = float(row["value"])
        return Value((row["size"][0], row["size"][1]), repr(value), value)

    def score(self, truth: Value, prediction: npt.NDArray[Any]) -> ImageScore:
        """Compare a value `()` in its unit."""
        error = abs(float(prediction) - truth.value)
        error = error if np.isfinite(error) else self._width
        return ImageScore(repr(float(prediction)), truth.text, max(0.0, 1 - error / self._width), {"mae": error})


def _points_text(points: Numbers) -> str:
    """Keypoints as JSON: pixels with one decimal, null for numbers that are not finite."""
    rounded = [[round(x, 1) if np.isfinite(x) else None for x in point] for point in points.tolist()]
    return json.dumps(rounded, separators=(",", ":"))
