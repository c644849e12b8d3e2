"""Gains and losses of graded scores (ROUGE, Dice, IoU, errors): pure functions of a histogram of changes.

A change is new score - old score, or old score - new score if lower scores are better. So a positive change is always
a gain.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from clbench.core.errors import MetricError
from clbench.reports.statistics.intervals import LEVEL, RESAMPLES, Interval, percentile_interval

Numbers = npt.NDArray[np.float64]
GROUPS_PER_DOUBLING = 64
"""Groups of the histogram for each doubling of the size of a change: changes in one group differ by at most 1.1 %."""
MAX_UNGROUPED = 4096
"""Number of pairs up to which each distinct change has its own group."""


@final
@dataclass(frozen=True, eq=False)
class ChangeHistogram:
    """A histogram of changes.

    Losses, gains and pairs without a change never share a group. Neither do changes inside and outside the dead-band.

    Args:
        means: Mean change of each group, shape `(groups,)`, in the unit of the scores.
        counts: Number of pairs in each group, shape `(groups,)`.
    """

    means: Numbers
    counts: npt.NDArray[np.int64]

    @property
    def n(self) -> int:
        """Number of pairs."""
        return int(self.counts.sum())


def change_histogram(old: npt.ArrayLike, new: npt.ArrayLike, *, lower_is_better: bool = False) -> ChangeHistogram:
    """Histogram of the changes of paired scores; each distinct change is a group.

    Args:
        old: Scores of the old model, shape `(n,)`.
        new: Scores of the new model for the same samples, shape `(n,)`.
        lower_is_better: Whether the scores are errors.
    """
    difference = np.asarray(new, np.float64) - np.asarray(old, np.float64)
    means, counts = np.unique(-difference if lower_is_better else difference, return_counts=True)
    return ChangeHistogram(means, counts)


@final
@dataclass(frozen=True)
class GradedFlips:
    """Gains and losses of graded scores; a change of at most the dead-band counts as neither.

    Args:
        dead_band: Largest absolute change that counts as no change, in the unit of the scores, at least 0.
        n: Number of pairs.
        losses: Number of pairs with a change below -dead_band.
        gains: Number of pairs with a change above dead_band.
        loss_rate: losses / n, in [0, 1], lower is better: NFR of graded scores (Echterhoff et al. 2024, MUSCLE, with a
            dead-band of 0; Zhu et al. 2024, FlipGuard, with a larger one).
        gain_rate: gains / n, in [0, 1], higher is better: PFR of graded scores.
        mean_loss: Mean absolute change of the losses, above 0, lower is better; None without losses.
        mean_gain: Mean change of the gains, above 0, higher is better; None without gains.
        mean_change: Mean change of all pairs, also of those inside the dead-band, higher is better. With a dead-band
            of 0 it is gain_rate * mean_gain - loss_rate * mean_loss.
    """

    dead_band: float
    n: int
    losses: int
    gains: int
    loss_rate: float | None
    gain_rate: float | None
    mean_loss: float | None
    mean_gain: float | None
    mean_change: float | None


GRADED_METRICS = ("loss_rate", "gain_rate", "mean_loss", "mean_gain", "mean_change")
"""Fields of `GradedFlips` that have intervals."""


def graded_flips(changes: ChangeHistogram, dead_band: float = 0.0) -> GradedFlips:
    """Gains and losses of a histogram.

    Raises:
        MetricError: For a dead-band below 0.
    """
    check_dead_band(dead_band)
    return _flips(changes.means, changes.counts, dead_band)


def check_dead_band(dead_band: float) -> None:
    """Refuse a dead-band below 0.

    Raises:
        MetricError: For a dead-band below 0.
    """
    if not dead_band >= 0:
        raise MetricError(f"the dead-band must be at least 0, got {dead_band}")


def graded_intervals(
    changes: ChangeHistogram, dead_band: float = 0.0, *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> dict[str, Interval | None]:
    """Paired percentile bootstrap of the rates and means of `GradedFlips`.

    The counts of the groups are drawn from a multinomial distribution. If each distinct change has its own group, this
    is the exact paired bootstrap. If changes within 1.1 % share a group, less than 0.01 % of their mean square is lost.

    Args:
        changes: Histogram of the n pairs.
        dead_band: Largest absolute change that counts as no change.
        resamples: Number of resamples.
        level: Confidence level of the intervals, in (0, 1).
        seed: Seed of the random draws; the same seed gives the same intervals.

    Returns:
        An interval for each of `GRADED_METRICS`; None if it is defined in fewer than half of the resamples.
    """
    if changes.n == 0:
        return dict.fromkeys(GRADED_METRICS)
    rng = np.random.default_rng(seed)
    shares = changes.counts / changes.n
    found = [_flips(changes.means, rng.multinomial(changes.n, shares), dead_band) for _ in range(resamples)]
    return {name: percentile_interval([getattr(flips, name) for flips in found], level) for name in GRADED_METRICS}


@final
@dataclass(frozen=True)
class GradedSums:
    """Counts and sums of the changes of graded scores, from which all rates and means follow.

    Args:
        n: Number of pairs.
        losses: Number of pairs with a change below -dead_band.
        gains: Number of pairs with a change above dead_band.
        total_loss: Sum of the absolute changes of the losses.
        total_gain: Sum of the changes of the gains.
        total_change: Sum of the changes of all pairs.
    """

    n: int
    losses: int
    gains: int
    total_loss: float
    total_gain: float
    total_change: float

    def flips(self, dead_band: float) -> GradedFlips:
        """The rates and means; a mean over no pairs is None."""
        return GradedFlips(
            dead_band,
            self.n,
            self.losses,
            self.gains,
            loss_rate=_mean(self.losses, self.n),
            gain_rate=_mean(self.gains, self.n),
            mean_loss=_mean(self.total_loss, self.losses),
            mean_gain=_mean(self.total_gain, self.gains),
            mean_change=_mean(self.total_change, self.n),
        )


def _flips(means: Numbers, counts: npt.NDArray[np.int64], dead_band: float) -> GradedFlips:
    sums = means * counts
    lost, gained = means < -dead_band, means > dead_band
    numbers = (int(counts.sum()), int(counts[lost].sum()), int(counts[gained].sum()))
    return GradedSums(*numbers, -sums[lost].sum(), sums[gained].sum(), sums.sum()).flips(dead_band)


def _mean(total: float, n: int) -> float | None:
    return float(total) / n if n else None
