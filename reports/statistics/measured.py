"""A number of one method, measured with several seeds, and its errors by source: training, test samples, both."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np

from clbench.core.errors import MetricError
from clbench.reports.statistics.intervals import LEVEL, Interval, MeanInterval, mean_interval, with_error
from clbench.reports.statistics.sample_draws import Numbers


@final
@dataclass(frozen=True, eq=False)
class Measured:
    """A number, such as Last, of one method by seed, and the same number on draws of the test samples.

    Args:
        values: By seed; where orders of tasks are repeated, too, by seed and order.
        draws: By seed: the number on each draw of `SampleDraws`, shape `(resamples,)`, NaN where undefined. The draws
            are the same for all seeds and for all methods that are compared. Empty if the samples are not at hand.
        degrees_of_freedom: Those of `SampleDraws`.

    Raises:
        MetricError: Without values, or if draws are there for some seeds only.
    """

    values: Mapping[Hashable, float]
    draws: Mapping[Hashable, Numbers] = field(default_factory=dict)
    degrees_of_freedom: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be summarised."""
        if not self.values:
            raise MetricError("a measured number: wanted at least 1 seed, got none")
        if self.draws and set(self.draws) != set(self.values):
            raise MetricError("a measured number: wanted draws of the samples for all seeds or for none")

    def minus(self, other: "Measured") -> "Measured":
        """The paired difference: seed by seed, and draw by draw, over the seeds that both have.

        Raises:
            MetricError: Without a seed that both have.
        """
        common = [seed for seed in self.values if seed in other.values]
        if not common:
            raise MetricError("paired difference: wanted a seed that both methods have, got none")
        drawn = common if self.draws and other.draws else []
        return Measured(
            {seed: self.values[seed] - other.values[seed] for seed in common},
            {seed: self.draws[seed] - other.draws[seed] for seed in drawn},
            min(self.degrees_of_freedom, other.degrees_of_freedom) if drawn else 0,
        )


@final
@dataclass(frozen=True)
class SourcesOfError:
    """The mean over seeds, with its error by source; None for a source that is not known.

    Attributes:
        seeds: Error of training, on the same test samples; None for one seed.
        samples: Error of the test samples, for the same trained models; None if the samples are not at hand.
        both: Error of both together: where the mean would lie with other seeds and other samples. None if one of them
            is not known.
    """

    mean: float
    n: int
    seeds: MeanInterval | None
    samples: MeanInterval | None
    both: MeanInterval | None

    @property
    def interval(self) -> Interval | None:
        """The interval of `both` if there is one, else that of the seeds; None for one seed."""
        found = self.both or self.seeds
        return found.interval if found else None

    @property
    def p_value(self) -> float | None:
        """Two-sided p-value that the true mean is 0: the larger one of `seeds` and `both`; None for one seed."""
        found = [each.p_value for each in (self.seeds, self.both) if each is not None]
        return max((p for p in found if p is not None), default=None)


def sources_of_error(measured: Measured, level: float = LEVEL) -> SourcesOfError:
    """The error of a mean over seeds, by source.

    Seeds and samples are crossed: all seeds are tested on the same samples. The spread over seeds holds already what
    the sampling noise differs by between seeds, so only what seeds have in common is added. The interval of both is
    never narrower than that of the seeds: with two or three seeds, whose spread may be small by chance, Satterthwaite's
    alone would hold the true mean in 87 % or 92 % of cases instead of 95 %.

    Formula: variances of the mean over S seeds: seeds s^2 / S; samples: the mean of all entries of C, the S x S
        covariance matrix of the seeds' numbers over draws of the samples; both: s^2 / S + max(0, mean of the entries of
        C off its diagonal). Intervals are Student's t, with S - 1, clusters - groups, and Satterthwaite's degrees of
        freedom
    Unit: that of the number
    Source: Cornfield and Tukey 1956 (two crossed random factors); Efron 1979 (C); Satterthwaite 1946

    Args:
        measured: A number of one method, or a difference of two.
        level: Confidence level, in (0, 1).
    """
    values = list(measured.values.values())
    n, degrees = len(values), measured.degrees_of_freedom
    found = mean_interval(values, level)
    seeds = found if n > 1 else None
    covariance = _covariance(measured)
    if covariance is None or degrees < 1:
        return SourcesOfError(found.mean, n, seeds, None, None)
    samples = with_error(found.mean, n, float(covariance.mean()) ** 0.5, degrees, level)
    if seeds is None or seeds.standard_error is None:
        return SourcesOfError(found.mean, n, None, samples, None)
    own = seeds.standard_error**2
    shared = max(0.0, float((covariance.sum() - covariance.trace()) / (n * (n - 1))))
    total = own + shared
    freedom = total**2 / (own**2 / (n - 1) + shared**2 / degrees) if total else n - 1.0
    both = with_error(found.mean, n, total**0.5, freedom, level)
    if _width(seeds) > _width(both):
        both = replace(both, interval=seeds.interval)
    return SourcesOfError(found.mean, n, seeds, samples, both)


def _width(found: MeanInterval) -> float:
    return found.interval.high - found.interval.low if found.interval else 0.0


def _covariance(measured: Measured) -> Numbers | None:
    """Covariance of the seeds' numbers over the draws on which all are defined; None if these are fewer than half."""
    if not measured.draws:
        return None
    draws = np.stack([measured.draws[seed] for seed in measured.values])
    defined = ~np.isnan(draws).any(axis=0)
    if 2 * np.count_nonzero(defined) < draws.shape[1]:
        return None
    return np.atleast_2d(np.cov(draws[:, defined]))
