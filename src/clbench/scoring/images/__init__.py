"""Scores of images: one number in [0, 1] per image for R, and the measures of challenges in pixels and units."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from clbench.core.errors import ConfigError, did_you_mean
from clbench.scoring.images.detection import Detection
from clbench.scoring.images.regression import PointAccuracy, ValueAccuracy
from clbench.scoring.images.scorer import ImageScore, ImageScorer, Truth
from clbench.scoring.images.segmentation import Segmentation

if TYPE_CHECKING:
    from clbench.spec.task import Task

__all__ = ["SCORES", "ImageScore", "ImageScorer", "Truth", "scorer_of"]

SCORES: Mapping[str, type[ImageScorer[Any]]] = MappingProxyType(
    {
        "dice": Segmentation,
        "iou": Detection,
        "point_accuracy": PointAccuracy,
        "value_accuracy": ValueAccuracy,
    }
)
"""Scores by the name in a task's `metric`; `accuracy`, for classes, does not read the image."""


def scorer_of(task: "Task") -> ImageScorer[Any]:
    """The scorer of a task on images.

    Raises:
        ConfigError: For an unknown metric, or a task that lacks what the score needs.
    """
    if task.metric not in SCORES:
        raise ConfigError(f"task {task.name!r}: unknown metric {task.metric!r}: {did_you_mean(task.metric, SCORES)}")
    return SCORES[task.metric](task)
