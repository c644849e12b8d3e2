"""Draws of the test samples with replacement, in clusters: what another test set of the same size might have been."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Self, final

import numpy as np
import numpy.typing as npt

from clbench.core.errors import MetricError
from clbench.reports.statistics.intervals import RESAMPLES

Numbers = npt.NDArray[np.float64]


@final
@dataclass(frozen=True, eq=False)
class SampleDraws:
    """Draws of the same test samples for all models and versions, so that their differences are paired.

    The unit of analysis is the cluster: all samples of one patient or document, in all tasks. Where a sample stands
    alone it is its own cluster. Clusters are drawn within their task, so that each draw has as many of each task as the
    test set; where a cluster has samples of several tasks, clusters are drawn from the whole test set.

    Of n clusters n - 1 are drawn and weighted by n / (n - 1). The variance of a mean over draws is then that of the
    mean, without the factor (n - 1) / n of the plain bootstrap, which matters for few clusters.

    Source: Efron 1979; Davison and Hinkley 1997, Section 3.8 (clusters); Rao, Wu and Yue 1992 (n - 1 draws)

    Args:
        task: Index of each sample's task, shape `(samples,)`.
        cluster: Index of each sample's cluster, shape `(samples,)`.
        weights: How often each cluster was drawn, times n / (n - 1); shape `(resamples, clusters)`.
        degrees_of_freedom: Number of clusters less number of groups within which they were drawn.
    """

    task: npt.NDArray[np.int64]
    cluster: npt.NDArray[np.int64]
    weights: Numbers
    degrees_of_freedom: int

    @classmethod
    def draw(
        cls,
        tasks: Sequence[Hashable],
        clusters: Sequence[Hashable] | None = None,
        resamples: int = RESAMPLES,
        seed: int = 0,
    ) -> Self:
        """Draw clusters of samples.

        A group with a single cluster is always drawn once, because its variance is unknown.

        Args:
            tasks: Task of each sample.
            clusters: Patient or document of each sample; None if each sample is independent.
            resamples: Number of draws.
            seed: Seed of the draws; the same seed gives the same draws.

        Raises:
            MetricError: Without samples, or if the lengths differ.
        """
        task = _numbered(tasks)
        cluster = np.arange(len(task)) if clusters is None else _numbered(clusters)
        if not len(task) or len(cluster) != len(task):
            raise MetricError(f"draws of samples: wanted samples with a cluster each, got {len(task)}, {len(cluster)}")
        pairs = np.unique(np.stack([cluster, task]), axis=1)
        nested = len(pairs[0]) == cluster.max() + 1  # each cluster has samples of one task only
        group = pairs[1] if nested else np.zeros(cluster.max() + 1, np.int64)
        rng, weights = np.random.default_rng(seed), np.ones((resamples, len(group)))
        for number in np.unique(group):
            members = np.flatnonzero(group == number)
            if len(members) > 1:
                weights[:, members] = _counts(rng, resamples, len(members)) * len(members) / (len(members) - 1)
        return cls(task, cluster, weights, len(group) - len(np.unique(group)))

    def task_means(self, values: Numbers) -> Numbers:
        """The mean over the samples of each task, for each draw.

        Args:
            values: Numbers of each sample under several versions, NaN where not measured; shape `(versions, samples)`.

        Returns:
            Shape `(resamples, versions, tasks)`; NaN where no sample of a task was drawn that has a value.
        """
        versions, tasks = len(values), int(self.task.max()) + 1
        means = np.full((len(self.weights), versions, tasks), np.nan)
        known = ~np.isnan(values)
        for task in range(tasks):
            members = np.flatnonzero(self.task == task)
            inside, place = np.unique(self.cluster[members], return_inverse=True)
            drawn = self.weights[:, inside]
            for version in range(versions):
                has = known[version, members]
                number = drawn @ np.bincount(place[has], minlength=len(inside)).astype(np.float64)
                total = drawn @ np.bincount(place[has], values[version, members][has], len(inside))
                np.divide(total, number, out=means[:, version, task], where=number > 0)
        return means

    def share(self, values: Numbers) -> Numbers:
        """The mean over all samples that have a value, for each draw.

        Args:
            values: A number of each sample, NaN for none; shape `(samples,)`.

        Returns:
            Shape `(resamples,)`; NaN where no sample with a value was drawn.
        """
        known, clusters = ~np.isnan(values), self.weights.shape[1]
        number = self.weights @ np.bincount(self.cluster[known], minlength=clusters).astype(np.float64)
        total = self.weights @ np.bincount(self.cluster[known], values[known], clusters)
        return np.asarray(np.divide(total, number, out=np.full(len(total), np.nan), where=number > 0))


def _numbered(names: Sequence[Hashable]) -> npt.NDArray[np.int64]:
    """Names as numbers from 0 in the order of their first appearance."""
    known: dict[Hashable, int] = {}
    return np.array([known.setdefault(name, len(known)) for name in names], np.int64)


def _counts(rng: np.random.Generator, resamples: int, n: int) -> Numbers:
    """How often each of n clusters is among n - 1 draws, shape `(resamples, n)`."""
    drawn = rng.integers(0, n, (resamples, n - 1)) + n * np.arange(resamples)[:, np.newaxis]
    return np.bincount(drawn.ravel(), minlength=resamples * n).reshape(resamples, n).astype(np.float64)
