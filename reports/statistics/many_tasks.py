"""Methods over many tasks with a few runs each: interquartile mean and probability of improvement.

A task is here what has training runs of its own, such as a stream with a learner. Runs are drawn in each task by
themselves, so tasks of one stream, which one run learns together, must not be given as tasks.
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import final

import numpy as np

from clbench.core.errors import MetricError
from clbench.reports.statistics.intervals import LEVEL, RESAMPLES, Interval, percentile_interval
from clbench.reports.statistics.sample_draws import Numbers


@final
@dataclass(frozen=True)
class Bootstrapped:
    """A number and its bootstrap interval; None for a single run of each task, whose spread is unknown."""

    value: float
    interval: Interval | None


def interquartile_mean(
    scores: Numbers, *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> Bootstrapped:
    """Mean of the middle half of the scores of all runs on all tasks (IQM), with its stratified bootstrap interval.

    The unit of analysis is the run. The tasks are those that there are, not drawn from others: the interval says what
    other runs on the same tasks would give. Scores of tasks must be comparable, such as accuracies.

    Formula: the mean of what is left of n scores after floor(n / 4) at either end
    Unit: that of the scores
    Source: Agarwal et al. 2021, Deep RL at the Edge of the Statistical Precipice; equals `aggregate_iqm` of their
        package rliable, whose interval is narrower: see `expanded_level`

    Args:
        scores: Shape `(runs, tasks)`.
        level: Confidence level, in (0, 1).
        resamples: Number of draws of the runs, within each task.
        seed: Seed of the draws.

    Raises:
        MetricError: Without scores, or with one that is not finite.
    """
    _check(scores)
    value = float(_iqm(scores[np.newaxis])[0])
    if len(scores) < 2:
        return Bootstrapped(value, None)
    drawn = _iqm(_drawn(np.random.default_rng(seed), scores, resamples))
    return Bootstrapped(value, percentile_interval(drawn.tolist(), expanded_level(level, len(scores))))


def probability_of_improvement(
    one: Numbers, other: Numbers, *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> Bootstrapped:
    """How likely a run of the first method is better than one of the second on a task, with its bootstrap interval.

    The unit of analysis is the run; runs of the two methods are not paired. If all runs of one method are above all of
    the other on every task, the interval has no width, however few the runs are.

    Formula: the mean over tasks of the share of pairs of runs with one > other; equal scores count half
    Unit: a probability
    Direction: above 0.5 the first method is better, where higher scores are
    Range: [0, 1]
    Source: Agarwal et al. 2021; equals `probability_of_improvement` of their package rliable

    Args:
        one: Scores of the first method, shape `(runs, tasks)`.
        other: Scores of the second one, shape `(other runs, tasks)`.
        level: Confidence level, in (0, 1).
        resamples: Number of draws of the runs, within each task and for both methods apart.
        seed: Seed of the draws.

    Raises:
        MetricError: Without scores, with one that is not finite, or for other tasks.
    """
    _check(one)
    _check(other)
    if one.shape[1] != other.shape[1]:
        raise MetricError(f"probability of improvement: wanted the same tasks, got {one.shape[1]} and {other.shape[1]}")
    value = float(_improvement(one[np.newaxis], other[np.newaxis])[0])
    fewest = min(len(one), len(other))
    if fewest < 2:
        return Bootstrapped(value, None)
    rng = np.random.default_rng(seed)
    drawn = _improvement(_drawn(rng, one, resamples), _drawn(rng, other, resamples))
    return Bootstrapped(value, percentile_interval(drawn.tolist(), expanded_level(level, fewest)))


def expanded_level(level: float, runs: int) -> float:
    """The level of a percentile interval that holds the truth with probability `level` though runs are few.

    The bootstrap's variance is that of a mean times (n - 1) / n. So the interval is widened by sqrt(n / (n - 1)).

    Formula: 2 Phi(sqrt(n / (n - 1)) z) - 1, z the normal quantile of (1 + level) / 2, Phi the normal distribution
    Source: Hesterberg 2015, What Teachers Should Know About the Bootstrap (expanded percentile interval)

    Args:
        level: Wanted confidence level, in (0, 1).
        runs: Number n of runs of each task, at least 2.
    """
    normal = NormalDist()
    return 2 * normal.cdf((runs / (runs - 1)) ** 0.5 * normal.inv_cdf((1 + level) / 2)) - 1


def _check(scores: Numbers) -> None:
    if scores.ndim != 2 or not scores.size or not np.isfinite(scores).all():
        raise MetricError(f"runs on tasks: wanted finite scores, runs x tasks, got an array of shape {scores.shape}")


def _drawn(rng: np.random.Generator, scores: Numbers, resamples: int) -> Numbers:
    """Runs drawn with replacement in each task by itself, shape `(resamples, runs, tasks)`."""
    runs, tasks = scores.shape
    return np.asarray(scores[rng.integers(0, runs, (resamples, runs, tasks)), np.arange(tasks)])


def _iqm(scores: Numbers) -> Numbers:
    """Over runs and tasks, for each draw."""
    ordered = np.sort(scores.reshape(len(scores), -1), axis=1)
    cut = ordered.shape[1] // 4
    return np.asarray(ordered[:, cut : ordered.shape[1] - cut].mean(axis=1))


def _improvement(one: Numbers, other: Numbers) -> Numbers:
    ours, theirs = one[:, :, np.newaxis], other[:, np.newaxis]
    return np.asarray(((ours > theirs) + 0.5 * (ours == theirs)).mean(axis=(1, 2, 3)))
