"""Gains and losses of graded scores: ROUGE, Dice, IoU, errors; pure functions of a histogram of changes.

A change is the new score minus the old one, turned round where lower is better, so that more is always better.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from clbench.core.errors import MetricError
from clbench.reports.flips.statistics import LEVEL, RESAMPLES, Interval, percentile_interval

Numbers = npt.NDArray[np.float64]
GRAIN = 64
"""Groups of changes to each doubling of their size: those in one group agree within 1.1 %."""
SINGLE = 4096
"""Up to so many pairs, every change is a group of its own."""


@final
@dataclass(frozen=True, eq=False)
class Changes:
    """A histogram of changes: groups with their mean change and how many pairs they hold.

    Losses, gains and pairs without a change never share a group, nor do changes on different sides of the dead-band.
    """

    means: Numbers
    counts: npt.NDArray[np.int64]

    @property
    def n(self) -> int:
        """All pairs."""
        return int(self.counts.sum())


def changes_of(old: npt.ArrayLike, new: npt.ArrayLike, *, lower_is_better: bool = False) -> Changes:
    """The changes of paired scores that fit into memory, each distinct one a group."""
    difference = np.asarray(new, np.float64) - np.asarray(old, np.float64)
    means, counts = np.unique(-difference if lower_is_better else difference, return_counts=True)
    return Changes(means, counts)


@final
@dataclass(frozen=True)
class GradedFlips:
    """What happened to graded scores, with changes up to a dead-band taken for none.

    Args:
        dead_band: The largest change, either way, that counts as none.
        n: All pairs.
        losses: Pairs with a change below minus the dead-band.
        gains: Pairs with a change above it.
        loss_rate: losses / n: NFR of graded scores (Echterhoff et al. 2024, MUSCLE, with a dead-band of 0; Zhu et al.
            2024, FlipGuard, with one).
        gain_rate: gains / n: PFR of graded scores.
        mean_loss: Mean size of the losses, not below 0; None without losses.
        mean_gain: Mean size of the gains; None without gains.
        mean_change: Mean of all changes, the small ones too; with a dead-band of 0 it is
            gain_rate * mean_gain - loss_rate * mean_loss.
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


RATES = ("loss_rate", "gain_rate", "mean_loss", "mean_gain", "mean_change")


def graded_flips(changes: Changes, dead_band: float = 0.0) -> GradedFlips:
    """Count and measure gains and losses.

    Raises:
        MetricError: For a dead-band below 0.
    """
    check_dead_band(dead_band)
    return _flips(changes.means, changes.counts, dead_band)


def check_dead_band(dead_band: float) -> None:
    """Refuse what is no size.

    Raises:
        MetricError: For a dead-band below 0.
    """
    if not dead_band >= 0:
        raise MetricError(f"the dead-band must be at least 0, got {dead_band}")


def graded_intervals(
    changes: Changes, dead_band: float = 0.0, *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> dict[str, Interval | None]:
    """Paired percentile bootstrap of the rates and mean sizes.

    The groups' counts are drawn from a multinomial distribution. With every change in a group of its own that is the
    paired bootstrap itself; with changes grouped within 1.1 % it leaves out less than 0.01 % of their mean square.
    """
    if changes.n == 0:
        return dict.fromkeys(RATES)
    rng = np.random.default_rng(seed)
    shares = changes.counts / changes.n
    found = [_flips(changes.means, rng.multinomial(changes.n, shares), dead_band) for _ in range(resamples)]
    return {name: percentile_interval([getattr(flips, name) for flips in found], level) for name in RATES}


def flips_of_sums(
    dead_band: float, n: int, losses: int, gains: int, lost: float, gained: float, change: float
) -> GradedFlips:
    """Rates and means from counts and sums: of the sizes of losses, of the gains, of all changes."""
    return GradedFlips(
        dead_band,
        n,
        losses,
        gains,
        loss_rate=_mean(losses, n),
        gain_rate=_mean(gains, n),
        mean_loss=_mean(lost, losses),
        mean_gain=_mean(gained, gains),
        mean_change=_mean(change, n),
    )


def _flips(means: Numbers, counts: npt.NDArray[np.int64], dead_band: float) -> GradedFlips:
    sums = means * counts
    lost, gained = means < -dead_band, means > dead_band
    numbers = (int(counts.sum()), int(counts[lost].sum()), int(counts[gained].sum()))
    return flips_of_sums(dead_band, *numbers, -sums[lost].sum(), sums[gained].sum(), sums.sum())


def _mean(total: float, n: int) -> float | None:
    return float(total) / n if n else None
