"""Overlap of boxes, in pairs and as sets."""

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]


def iou(first: npt.ArrayLike, second: npt.ArrayLike) -> Numbers:
    """Intersection over union of every box of one set with every box of the other, `(m, n)`.

    A box whose minimum is above its maximum, or that is not finite, overlaps nothing.

    Args:
        first: Boxes x_min, y_min, x_max, y_max, `(m, 4)`.
        second: Boxes in the same form, `(n, 4)`.
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
    """Sum of IoU over the best one-to-one match, divided by the larger number of boxes; 1 if both sets are empty.

    For one box on either side it is their IoU. A surplus or missing box counts as an overlap of 0.
    """
    from scipy.optimize import linear_sum_assignment

    most = max(len(predicted), len(true))
    if not most:
        return 1.0
    overlaps = iou(predicted, true)
    rows, columns = linear_sum_assignment(-overlaps)
    return float(overlaps[rows, columns].sum() / most)
