"""Regression: distance from true keypoints, error of values."""

from clbench.core.registry import IMAGE_METRICS
from clbench.reports.image_metrics._measured_rows import MeasuredRows


@IMAGE_METRICS.register("regression.mre", direction="lower")
def mean_radial_error(rows: MeasuredRows) -> float:
    """Mean radial error: distance of predicted and true keypoints, mean over those of an image, then over images.

    Formula: mean over images of (mean over keypoints of the Euclidean distance)
    Unit: pixels of the original image
    Direction: lower is better
    Source: official evaluator of FMC_UIA 2026, MRE

    Raises:
        DoesNotApplyError: Where a value is asked for.
        MetricError: When a sample lacks the measure.
    """
    return float(rows.values("mre").mean())


@IMAGE_METRICS.register("regression.mae", direction="lower")
def mean_absolute_error(rows: MeasuredRows) -> float:
    """Mean absolute error of a value.

    Formula: mean over images of |prediction - truth|
    Unit: that of the value, so no mean over tasks is made
    Direction: lower is better
    Source: common; FMC_UIA asks for no values

    Raises:
        DoesNotApplyError: Where keypoints are asked for.
        MetricError: When a sample lacks the measure.
    """
    return float(rows.values("mae").mean())
