"""How large a change of accuracy a number of paired samples can show, and how many samples a verdict needs.

Both follow from McNemar's test: the change is (c - b) / n, c of the n pairs being gained and b lost, and its variance
is (d - change^2) / n, d being the share of discordant pairs, (b + c) / n.
"""

import math
from statistics import NormalDist

POWER = 0.8
"""Probability with which a verdict shall be reached."""
LEVEL = 0.05
"""Error of the first kind: two-sided for a change, one-sided for each of the two tests of equivalence."""
MOST = 2**50
"""Samples beyond which a number of needed samples is not told."""
NORMAL = NormalDist()


def detectable_change(discordance: float, n: int, tests: int = 1) -> float | None:
    """The smallest change of accuracy that McNemar's test finds with a power of 80 % (minimum detectable effect).

    Formula: the x with x sqrt(n) = z_a sqrt(d) + z_b sqrt(d - x^2); z_a, z_b: normal quantiles of 1 - 0.05 / (2 tests)
        and 0.8, d the discordance
    Unit: a difference of two shares of right answers
    Direction: lower is better: smaller changes are seen
    Range: (0, d]
    Source: Miettinen 1968; Connor 1987, Sample size for testing differences in proportions for the paired-sample design

    Args:
        discordance: Share of pairs of which one answer is right and one wrong, in (0, 1].
        n: Number of pairs, at least 1.
        tests: Number of tests that are corrected for (Bonferroni).

    Returns:
        The change; None if not even a change of all discordant pairs in one direction would be found.
    """
    z_a, z_b = normal_quantiles(tests)
    a = z_a * math.sqrt(discordance)
    inner = a * a * n - (n + z_b * z_b) * (a * a - z_b * z_b * discordance)
    if inner < 0:
        return None
    change = (a * math.sqrt(n) + math.sqrt(inner)) / (n + z_b * z_b)
    return change if a / math.sqrt(n) <= change <= discordance else None


def samples_to_detect(change: float, discordance: float, tests: int = 1) -> int | None:
    """Number of pairs with which McNemar's test finds a change with a power of 80 %.

    Formula: (z_a sqrt(d) + z_b sqrt(d - change^2))^2 / change^2, rounded up
    Unit: pairs
    Direction: lower is better
    Range: at least 1
    Source: Connor 1987, as `detectable_change`

    Args:
        change: The true change of accuracy, at most the discordance in size.
        discordance: The true share of discordant pairs, in (0, 1].
        tests: Number of tests that are corrected for (Bonferroni).

    Returns:
        The number; None for a change of 0, which no number of samples shows.
    """
    z_a, z_b = normal_quantiles(tests)
    spread = z_a * math.sqrt(discordance) + z_b * math.sqrt(max(discordance - change * change, 0.0))
    if abs(change) * math.sqrt(MOST) <= spread:
        return None
    return max(1, math.ceil((spread / change) ** 2))


def samples_to_equate(change: float, discordance: float, margin: float) -> int | None:
    """Number of pairs with which two one-sided tests show equivalence within a margin with a power of 80 %.

    Formula: the smallest n with Phi((margin - |x|) / s - z) + Phi((margin + |x|) / s - z) - 1 >= 0.8, x the change,
        s = sqrt((d - x^2) / n), z the normal quantile of 0.95, Phi the normal distribution function
    Unit: pairs
    Direction: lower is better
    Range: at least 1
    Source: Schuirmann 1987 (two one-sided tests), with the variance of a paired difference of shares

    Args:
        change: The true change of accuracy, at most the discordance in size.
        discordance: The true share of discordant pairs, in (0, 1].
        margin: Largest size of a change that does not matter, in (0, 1).

    Returns:
        The number; None if the change is not within the margin.
    """
    size, z = abs(change), NORMAL.inv_cdf(1 - LEVEL)
    if size >= margin:
        return None
    spread = math.sqrt(discordance - size * size)

    def enough(n: int) -> bool:
        scale = math.sqrt(n) / spread
        within = NORMAL.cdf((margin - size) * scale - z) + NORMAL.cdf((margin + size) * scale - z) - 1
        return within >= POWER

    high = 1
    while not enough(high):
        high *= 2
        if high > MOST:
            return None
    low = high // 2  # not enough, or 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def normal_quantiles(tests: int) -> tuple[float, float]:
    """Normal quantiles: of a two-sided test at 5 %, corrected for a number of tests (Bonferroni), and of the power."""
    return NORMAL.inv_cdf(1 - LEVEL / (2 * tests)), NORMAL.inv_cdf(POWER)
