"""Segmentation: overlap and distance of every class, at the size of the original images."""

import numpy as np

from clbench.core.registry import IMAGE_METRICS
from clbench.reports.image_metrics._measured_rows import MeasuredRows


@IMAGE_METRICS.register("segmentation.dice", direction="higher")
def dice(rows: MeasuredRows) -> float:
    """Dice coefficient (DSC) of a class, mean over images, then over the classes but the background.

    Formula: mean over classes of (mean over images of 2 |P and T| / (|P| + |T|)), 1 where both are empty
    Unit: a share
    Direction: higher is better
    Source: official evaluator of FMC_UIA 2026, DSC

    Raises:
        MetricError: When a sample lacks a measure.
    """
    return _mean_of_classes(rows, "dice/")


@IMAGE_METRICS.register("segmentation.hausdorff", direction="lower")
def hausdorff(rows: MeasuredRows) -> float:
    """Full Hausdorff distance of a class, mean over images, then over the classes but the background.

    Formula: mean over classes of (mean over images of the larger of max over p of d(p, T) and max over t of d(t, P)),
        0 where both are empty, the image's diagonal where one is
    Unit: pixels of the original image
    Direction: lower is better
    Source: official evaluator of FMC_UIA 2026, HD (SimpleITK's HausdorffDistanceImageFilter)

    Raises:
        MetricError: When a sample lacks a measure.
    """
    return _mean_of_classes(rows, "hausdorff/")


@IMAGE_METRICS.register("segmentation.hd95", direction="lower")
def hd95(rows: MeasuredRows) -> float:
    """95 % Hausdorff distance of the edges of a class, mean over images, then over the classes but the background.

    Formula: mean over classes of (mean over images of the larger of the two directed 95th percentiles of the
        distances from edge pixels to the other edge), 0 where both are empty, the image's diagonal where one is
    Unit: pixels of the original image
    Direction: lower is better
    Source: MONAI, HausdorffDistanceMetric(percentile=95); FMC_UIA does not measure it

    Raises:
        MetricError: When a sample lacks a measure.
    """
    return _mean_of_classes(rows, "hd95/")


def _mean_of_classes(rows: MeasuredRows, mark: str) -> float:
    return float(np.mean([rows.values(f"{mark}{name}").mean() for name in rows.classes(mark)]))
