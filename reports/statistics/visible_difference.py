"""The smallest difference of two methods that a design shows, from the noise of training and of the test samples."""

import math

from clbench.reports.statistics.intervals import LEVEL

POWER = 0.8
"""Probability with which a true difference shall be found."""
MOST = 1000
"""Runs beyond which a number of needed runs is not told."""


def visible_difference(training: float, sampling: float, runs: int, degrees_of_freedom: int) -> float | None:
    """The smallest true difference that `paired_difference` calls significant with a power of 80 %.

    Formula: the larger one of lambda(S - 1) sqrt(d^2 / S) and lambda(f) sqrt(d^2 / S + c^2), for S runs a method, d the
        spread of paired differences over runs, c the error of the test samples, f Satterthwaite's degrees of freedom;
        lambda(f) is the x for which P(T <= t) = 0.2, T noncentral t with f degrees of freedom and noncentrality x, t
        the 0.975 quantile of Student's t
    Unit: that of the spread
    Direction: lower is better: smaller differences are seen
    Source: Cohen 1988 (power of paired t tests); Satterthwaite 1946

    Args:
        training: Standard deviation of the paired difference over runs (seeds, orders).
        sampling: Standard error of the difference from the test samples, in what all runs share.
        runs: Runs of each method, paired.
        degrees_of_freedom: Those of the draws of the samples; 0 if the samples are not at hand.

    Returns:
        The difference; None for one run, whose spread is unknown.
    """
    if runs < 2:
        return None
    own, shared = training**2 / runs, sampling**2 if degrees_of_freedom else 0.0
    found = _noncentrality(runs - 1) * math.sqrt(own)
    if shared:
        freedom = (own + shared) ** 2 / (own**2 / (runs - 1) + shared**2 / degrees_of_freedom)
        found = max(found, _noncentrality(freedom) * math.sqrt(own + shared))
    return found


def runs_to_see(difference: float, training: float, sampling: float, degrees_of_freedom: int) -> int | None:
    """Number of runs of each method with which a difference is seen with a power of 80 %.

    Args:
        difference: The true difference, above 0.
        training: Standard deviation of the paired difference over runs.
        sampling: Standard error of the difference from the test samples.
        degrees_of_freedom: Those of the draws of the samples; 0 if the samples are not at hand.

    Returns:
        At least 2; None if not even 1,000 runs show it, as where the test samples are too few.
    """

    def seen(runs: int) -> bool:
        found = visible_difference(training, sampling, runs, degrees_of_freedom)
        return found is not None and found <= difference

    if not seen(MOST):
        return None
    low, high = 1, MOST  # the visible difference falls with the number of runs
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if seen(middle) else (middle, high)
    return high


def _noncentrality(degrees_of_freedom: float) -> float:
    from scipy.special import nctdtrinc, stdtrit

    return float(nctdtrinc(degrees_of_freedom, 1 - POWER, stdtrit(degrees_of_freedom, (1 + LEVEL) / 2)))
