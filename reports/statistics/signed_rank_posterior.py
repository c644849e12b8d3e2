"""Bayesian signed rank test of two methods over many tasks, with a region of practical equivalence."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from clbench.core.errors import MetricError
from clbench.reports.statistics.sample_draws import Numbers

PRIOR = 0.5
"""Weight of the prior observation, which says that the methods are equal; an observed task weighs 1."""
DRAWS = 20_000
"""Draws from the posterior distribution."""


@final
@dataclass(frozen=True)
class Posterior:
    """Probabilities that sum to 1.

    Attributes:
        worse: That the first method is worse by more than the region.
        equivalent: That the difference is within the region.
        better: That the first method is better by more than the region.
    """

    worse: float
    equivalent: float
    better: float


def signed_rank_posterior(
    differences: Sequence[float], region: float, *, draws: int = DRAWS, seed: int = 0
) -> Posterior:
    """How likely one method is better than another, practically equivalent, or worse, on a further task.

    The unit of analysis is the task: one difference each, such as the mean over seeds. It says nothing about the error
    of a task's own difference. Unlike a p-value it can speak for equivalence, and it has no smallest value that few
    tasks cannot reach.

    Formula: shares of draws of w ~ Dirichlet(0.5, 1, ..., 1) in which one of three masses is the largest: sums of
        w_i w_j over i, j with (z_i + z_j) / 2 below -region, within it, above it; z_0 = 0, z_1, ... the differences;
        what is on a border counts half on either side
    Unit: a probability
    Source: Benavoli et al. 2014, 2017, Time for a Change (Section 4.2.3); equals baycomp's `SignedRankTest`

    Args:
        differences: First method less second, one for each task.
        region: Largest difference, in size, that does not matter; at least 0.
        draws: Number of draws.
        seed: Seed of the draws.

    Raises:
        MetricError: Without differences, with one that is not finite, or for a negative region.
    """
    if not differences or not np.isfinite(differences).all() or not region >= 0:
        raise MetricError("signed rank test: wanted finite differences and a region of at least 0")
    points = np.array([0.0, *differences])
    sums = points[:, np.newaxis] + points
    above, below = _step(sums - 2 * region), _step(-sums - 2 * region)
    weights = np.random.default_rng(seed).dirichlet([PRIOR, *np.ones(len(differences))], draws)
    better, worse = ((weights @ side * weights).sum(axis=1) for side in (above, below))
    largest = np.argmax([worse, 1 - worse - better, better], axis=0)
    shares = np.bincount(largest, minlength=3) / draws
    return Posterior(*(float(share) for share in shares))


def _step(values: Numbers) -> Numbers:
    """1 above 0, 1/2 at 0, else 0."""
    return np.asarray(np.heaviside(values, 0.5))
