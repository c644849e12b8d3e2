"""Divergence of a model's predicted distributions from those of a reference model."""

import numpy as np
import numpy.typing as npt

from clbench.core.errors import MetricError

Numbers = npt.NDArray[np.float64]

TOLERANCE = 1e-3
"""Largest distance of a distribution's sum from 1."""


def jensen_shannon(first: npt.ArrayLike, second: npt.ArrayLike) -> Numbers:
    """Jensen-Shannon divergence of each pair of distributions, `(n,)`.

    Formula: (KL(p || m) + KL(q || m)) / 2, m = (p + q) / 2
    Unit: nats
    Direction: lower is more alike
    Range: [0, ln 2]
    Source: Lin 1991

    Args:
        first: Distributions p, `(n, classes)`.
        second: Distributions q over the same classes, `(n, classes)`.

    Raises:
        MetricError: For arrays of different shapes, or rows that are not distributions.
    """
    p, q = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if p.ndim != 2 or p.shape != q.shape:
        raise MetricError(f"Jensen-Shannon: wanted two arrays (n, classes) of one shape, got {p.shape} and {q.shape}")
    for rows in (p, q):
        if not (np.all(rows >= 0) and np.all(np.abs(rows.sum(axis=1) - 1) <= TOLERANCE)):
            raise MetricError("Jensen-Shannon: wanted rows of probabilities that sum to 1, got others")
    middle = (p + q) / 2
    return np.maximum((_divergence(p, middle) + _divergence(q, middle)) / 2, 0.0)


def zero_retrain_forgetting(model: npt.ArrayLike, reference: npt.ArrayLike) -> float:
    """ZRF: one minus the mean Jensen-Shannon divergence of forgotten samples from a reference that never saw them.

    Formula: 1 - mean over samples of JS(p || q)
    Unit: none
    Direction: higher is nearer to the reference
    Range: [1 - ln 2, 1]
    Source: Chundawat et al. 2023 (arXiv 2205.08096), with a retrained reference for the random teacher.
        The released code of SSD averages KL(m || p) and KL(m || q) over entries, not rows; its values differ.

    Args:
        model: Distributions that the model predicts for forgotten samples, `(n, classes)`.
        reference: Those of the reference, `(n, classes)`.

    Raises:
        MetricError: For no sample, arrays of different shapes, or rows that are not distributions.
    """
    divergences = jensen_shannon(model, reference)
    if not len(divergences):
        raise MetricError("ZRF: wanted at least one sample, got none")
    return 1 - float(divergences.mean())


def _divergence(p: Numbers, q: Numbers) -> Numbers:
    """KL(p || q) of each row, where q > 0 if p > 0; 0 ln 0 = 0."""
    ratio = np.divide(p, q, out=np.ones_like(p), where=p > 0)
    found: Numbers = np.sum(p * np.log(ratio), axis=1)
    return found
