"""Did graded scores change? A permutation test of paired changes, and the verdict that follows."""

import math
from collections.abc import Mapping

import numpy as np

from clbench.reports.flips.graded import MAX_UNGROUPED, ChangeHistogram, Numbers, graded_intervals
from clbench.reports.flips.power import LEVEL, normal_quantiles
from clbench.reports.flips.verdict import Outcome, Verdict
from clbench.reports.statistics.intervals import Interval, holm

EXACT = 16
"""Number of changes up to which all signs are gone through."""
DRAWS = 9_999
"""Draws of signs for more changes."""
CHUNK = 1_000
"""Draws that are held in memory at once."""
ROUNDING = 1e-12
"""Sums that differ by this share of the largest one count as equal."""


def sign_flip_p(changes: ChangeHistogram, seed: int = 0) -> float:
    """Two-sided permutation test of the hypothesis that each change was as likely with the other sign.

    The unit of analysis is the sample: its old and new score are exchanged together. All signs are gone through for up
    to 16 changes other than 0; else signs are drawn.

    Formula: the share of signs with |sum of signed changes| >= |sum of changes|;
        for R draws (1 + number of such draws) / (R + 1)
    Unit: a probability
    Direction: small values speak against the hypothesis
    Range: (0, 1]
    Source: Fisher 1935, The Design of Experiments; Phipson and Smyth 2010 for draws; equals scipy's `permutation_test`
        with `permutation_type="samples"`

    Args:
        changes: Histogram of the changes; those in one group count with their mean.
        seed: Seed of the draws; the same seed gives the same p-value.

    Returns:
        The p-value; 1 if no score changed.
    """
    moved = changes.means != 0
    sizes, counts = np.abs(changes.means[moved]), changes.counts[moved]
    least = abs(float((changes.means * changes.counts).sum())) - ROUNDING * float((sizes * counts).sum())
    n = int(counts.sum())
    if n > MAX_UNGROUPED:
        sums = _drawn_by_group(sizes, counts, seed)
    elif n > EXACT:
        sums = _drawn(np.repeat(sizes, counts), seed)
    else:
        sums = np.zeros(1)
        for size in np.repeat(sizes, counts):
            sums = np.concatenate([sums - size, sums + size])
        return float((np.abs(sums) >= least).mean())
    return float(1 + (np.abs(sums) >= least).sum()) / (DRAWS + 1)


def _drawn(sizes: Numbers, seed: int) -> Numbers:
    """Sums of the sizes with random signs, shape `(DRAWS,)`."""
    rng = np.random.default_rng(seed)
    rows = [min(CHUNK, DRAWS - start) for start in range(0, DRAWS, CHUNK)]
    plus = [rng.integers(0, 2, (some, len(sizes)), dtype=np.int8) @ sizes for some in rows]
    return np.asarray(2 * np.concatenate(plus) - sizes.sum(), np.float64)


def _drawn_by_group(sizes: Numbers, counts: np.ndarray[tuple[int], np.dtype[np.int64]], seed: int) -> Numbers:
    """The same for groups of equal sizes: how many of a group have the sign plus is binomial."""
    rng = np.random.default_rng(seed)
    sums = np.zeros(DRAWS)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        sums += size * (2.0 * rng.binomial(count, 0.5, DRAWS) - count)
    return sums


def graded_verdicts(changes: Mapping[str, ChangeHistogram]) -> dict[str, Verdict]:
    """The verdicts on the mean change of some tasks, without a margin: scores of different tasks have other units.

    `better` and `worse` need a p-value of the permutation test, after Holm's correction, of at most 0.05. The interval
    is the bootstrap's. The detectable change and the samples that are wanted follow from the spread s of the changes:
    (z_a + z_b) s / sqrt(n), z_a and z_b as in `detectable_change`.

    Args:
        changes: Histogram of the changes of each task, of at least one pair.
    """
    corrected = holm([sign_flip_p(each) for each in changes.values()])
    return {task: _verdict(each, p, len(changes)) for (task, each), p in zip(changes.items(), corrected, strict=True)}


def _verdict(changes: ChangeHistogram, p: float, tests: int) -> Verdict:
    n = changes.n
    mean = float((changes.means * changes.counts).sum()) / n
    spread = math.sqrt(float(((changes.means - mean) ** 2 * changes.counts).sum()) / max(n - 1, 1))
    interval = graded_intervals(changes, level=1 - 2 * LEVEL)["mean_change"] or Interval(mean, mean)
    outcome: Outcome = "inconclusive" if p > LEVEL else "better" if mean > 0 else "worse"
    reach = sum(normal_quantiles(tests)) * spread
    wanted = outcome == "inconclusive" and mean != 0
    more = max(1, math.ceil((reach / mean) ** 2) - n) if wanted else None
    return Verdict(outcome, mean, interval, p, None, reach / math.sqrt(n) if n > 1 else None, more)
