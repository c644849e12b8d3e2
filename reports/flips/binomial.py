"""Tails of the binomial distribution without `scipy.special`, whose import is a fifth of a whole `clbench compare`."""

import math

import numpy as np

STEPS = 64
"""Halvings of an interval within (0, 1): what is left of it is below the spacing of floats."""


def at_most(k: int, n: int, p: float) -> float:
    """P(X <= k) for X binomial: a sum from its largest term on, the shorter tail if there is a choice.

    The logarithm of that term is a difference of log-gamma functions, so the relative error grows with n: below 1e-10
    for thousands of trials, 1e-7 for ten million.

    Args:
        k: At least 0.
        n: Trials.
        p: Chance of each, in (0, 1).
    """
    if k >= n:
        return 1.0
    if k > n * p:
        return 1.0 - at_most(n - k - 1, n, 1.0 - p)
    choices = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    largest = math.exp(choices + k * math.log(p) + (n - k) * math.log1p(-p))
    few = int(10 * math.sqrt(n * p * (1 - p))) + 100  # standard deviations: smaller terms do not count
    i = np.arange(k, max(k - few, 0), -1, dtype=np.float64)
    return largest * (1.0 + float(np.cumprod(i * (1 - p) / ((n - i + 1) * p)).sum()))


def chance_of_at_most(k: int, n: int, share: float) -> float:
    """The p for which P(X <= k) is a given share, by halving.

    Args:
        k: From 0 to n - 1.
        n: Trials.
        share: Less than one half.
    """
    low, high = k / n, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        if at_most(k, n, middle) > share:
            low = middle
        else:
            high = middle
    return (low + high) / 2
