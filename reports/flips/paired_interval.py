"""Score interval of the difference of two shares of right answers on the same samples."""

import math
from statistics import NormalDist

from clbench.reports.statistics.intervals import Interval

STEPS = 60
"""Bisections of an interval of length 2 at most."""


def paired_interval(gained: int, lost: int, n: int, level: float) -> Interval:
    """Tango's score interval of the change of accuracy; it keeps its level with few discordant pairs, too.

    A change x is inside if the score test does not refuse it. The test estimates the share q of lost answers under the
    hypothesis that the change is x.

    Formula: the x with |gained - lost - n x| <= z sqrt(n (2 q + x (1 - x))),
        q = (sqrt(B^2 - 8 n C) - B) / (4 n), B = (2 n - gained + lost) x - gained - lost, C = -lost x (1 - x)
    Unit: a difference of two shares
    Direction: that of the change: higher is better
    Range: [-1, 1]
    Source: Tango 1998, Equivalence test and confidence interval for the difference in proportions for the
        paired-sample design

    Args:
        gained: Number of pairs that only the new model has right.
        lost: Number of pairs that only the old model has right.
        n: Number of pairs, at least 1.
        level: Confidence level, in (0, 1).
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    upper = _upper(gained, lost, n, z)
    return Interval(-_upper(lost, gained, n, z), upper)  # with the models exchanged, the change has the other sign


def _upper(gained: int, lost: int, n: int, z: float) -> float:
    low, high = (gained - lost) / n, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        if _refused(middle, gained, lost, n, z):
            high = middle
        else:
            low = middle
    return high


def _refused(x: float, gained: int, lost: int, n: int, z: float) -> bool:
    """Whether the score test refuses a change that is at least the observed one."""
    b = (2 * n - gained + lost) * x - gained - lost
    c = -lost * x * (1 - x)
    q = (math.sqrt(max(b * b - 8 * n * c, 0.0)) - b) / (4 * n)
    variance = n * max(2 * q + x * (1 - x), 0.0)
    return n * x - gained + lost > z * math.sqrt(variance)
