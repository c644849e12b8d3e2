"""How far the confidence of a model is from its accuracy."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

BINS = 15


def calibration_error(confidence: npt.NDArray[np.floating], right: npt.NDArray[np.bool_]) -> float:
    """Expected calibration error with 15 bins of equal width.

    Formula: sum over the bins b of n_b / n |accuracy(b) - mean confidence(b)|
    Unit: fraction
    Direction: lower is better
    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, equation 3

    Args:
        confidence: Of each answer, from 0 to 1, shape `(n,)` with n > 0.
        right: Whether each answer is right, shape `(n,)`.
    """
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    excess = np.bincount(place, weights=confidence - right, minlength=BINS)
    return float(np.abs(excess).sum() / len(confidence))


def calibration_of(rows: pa.Table, version: int) -> dict[str, float]:
    """The calibration error of one version by protocol, over all answers that are right or wrong with a confidence.

    Args:
        rows: Rows of a ledger.
        version: Number of the version.

    Returns:
        By protocol; protocols without such answers are left out.
    """
    known = pc.and_(pc.is_valid(rows["correct"]), pc.is_valid(rows["confidence"]))
    chosen = rows.filter(pc.and_(pc.equal(rows["version"], version), known))
    protocol = np.asarray(chosen["protocol"].to_pylist(), dtype=object)
    confidence, right = chosen["confidence"].to_numpy().astype(np.float64), chosen["correct"].to_numpy().astype(bool)
    return {
        name: calibration_error(confidence[protocol == name], right[protocol == name])
        for name in dict.fromkeys(protocol)
    }
