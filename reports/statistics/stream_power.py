"""The noise of each stream's numbers, and the smallest differences of methods that its design shows."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, multimode
from typing import final

import numpy as np

from clbench.reports.finished_cells import FinishedCell
from clbench.reports.statistics.measured import Measured, sources_of_error
from clbench.reports.statistics.measured_cells import MeasuredNumbers, measured_numbers, order_of
from clbench.reports.statistics.paired_difference import paired_difference
from clbench.reports.statistics.visible_difference import runs_to_see, visible_difference


@final
@dataclass(frozen=True)
class MethodPair:
    """The difference of two methods over the runs that both have: at least two.

    Attributes:
        one: Name of the method with the higher mean.
        other: Name of the one that is subtracted.
        mean: Mean difference, not below 0.
        error: Its standard error, of runs and test samples together where these are at hand.
        low: Lower end of the 95 % interval of `paired_difference`.
        high: Upper end.
    """

    one: str
    other: str
    mean: float
    error: float
    low: float
    high: float

    @property
    def in_errors(self) -> float:
        """The difference divided by its error; infinite for an error of 0, and 0 for no difference."""
        return self.mean / self.error if self.error else (math.inf if self.mean else 0.0)


@final
@dataclass(frozen=True)
class NumberPower:
    """The noise of one number of a stream, in its unit; None for what needs more runs.

    Attributes:
        sampling: Standard error that the test samples give the number of one trained model; root mean square over all.
        training: Standard deviation between runs of one method, on the same test samples; the same over methods.
        paired_sampling: Standard error that the test samples give the difference of two methods, in what all runs
            share; the same over pairs.
        paired_training: Standard deviation between runs of the difference of two methods; the same over pairs.
        visible: The smallest difference that is seen with a power of 80 %.
        runs_to_see: Runs of each method with which the wanted difference is seen; None also where no number of runs
            shows it on so many test samples.
        pairs: All pairs of methods with two runs in common, those that differ by the most errors first.
    """

    sampling: float
    training: float | None = None
    paired_sampling: float | None = None
    paired_training: float | None = None
    visible: float | None = None
    runs_to_see: int | None = None
    pairs: tuple[MethodPair, ...] = ()


@final
@dataclass(frozen=True)
class StreamPower:
    """The noise of a stream's numbers under one protocol.

    Attributes:
        stream: Name of the stream.
        learner: Name of the learner.
        split: Part of the tasks that was tested.
        protocol: Name of the protocol.
        methods: Number of methods.
        runs: Runs that two methods have in common, which `visible` is for; 1 if no two methods have two.
        orders: Number of orders of tasks among the runs.
        samples: Number of test samples.
        clusters: Number of independent clusters of them.
        nfr_floor: Negative flip rate between two seeds of one method; None without two seeds.
        numbers: By name: `last`, `forgetting`, `nfr`.
    """

    stream: str
    learner: str
    split: str
    protocol: str
    methods: int
    runs: int
    orders: int
    samples: int
    clusters: int
    nfr_floor: float | None
    numbers: Mapping[str, NumberPower]


def stream_powers(
    cells: Sequence[FinishedCell],
    clusters_of: Callable[[FinishedCell], Mapping[str, str]],
    difference: float,
    protocol: str | None = None,
) -> tuple[list[StreamPower], list[str]]:
    """The noise of every stream that some cells are of.

    The units of analysis are the run (a seed with its order of tasks) and the cluster of test samples. Of several cells
    of one method and run the newest counts.

    Args:
        cells: Finished cells, of any streams; those with equal settings are compared.
        clusters_of: Gives the patients or documents of a stream's test samples by their ids, by a cell of the stream.
        difference: Difference that is wanted to be seen, in the unit of the scores.
        protocol: Name of the protocol; None for the first one of each stream.

    Returns:
        One result a stream, learner, budget and part, and why cells were left out, one line each.
    """
    groups: dict[str, list[FinishedCell]] = {}
    for cell in cells:
        groups.setdefault(cell.setting, []).append(cell)
    found: list[StreamPower] = []
    left_out: list[str] = []
    for group in groups.values():
        name = protocol or next(iter(group[0].result.protocols))
        measured = measured_numbers(group, clusters_of(group[0]), name)
        left_out += measured.left_out
        if measured.samples is not None and measured.numbers:
            found.append(_power(group, name, measured, difference))
    return found, left_out


def _power(
    cells: Sequence[FinishedCell],
    protocol: str,
    measured: MeasuredNumbers,
    difference: float,
) -> StreamPower:
    samples = measured.samples
    assert samples is not None
    methods = measured.numbers["last"]
    common = [len(set(one.values) & set(other.values)) for one, other in combinations(methods.values(), 2)]
    runs = max(multimode([number for number in common if number > 1]), default=1)
    degrees = samples.draws.degrees_of_freedom
    return StreamPower(
        stream=cells[0].stream,
        learner=cells[0].learner,
        split=cells[0].split,
        protocol=protocol,
        methods=len(methods),
        runs=runs,
        orders=len({order_of(cell) for cell in cells}),
        samples=len(samples.keys),
        clusters=samples.draws.counts.shape[1],
        nfr_floor=measured.nfr_floor,
        numbers={name: number_power(of, runs, degrees, difference) for name, of in measured.numbers.items()},
    )


def number_power(methods: Mapping[str, Measured], runs: int, degrees: int, difference: float) -> NumberPower:
    """The noise of one number, from what several methods reached.

    Args:
        methods: The number of each method by run, with draws of the test samples.
        runs: Runs of each method for which the visible difference is computed.
        degrees: Degrees of freedom of the draws.
        difference: Difference that is wanted to be seen.
    """
    variances = [float(np.nanvar(draws, ddof=1)) for method in methods.values() for draws in method.draws.values()]
    sampling = fmean(variances) ** 0.5
    spreads = [spread for method in methods.values() if (spread := _spread(method))]
    pairs = [
        one.minus(other)
        for one, other in combinations(methods.values(), 2)
        if len(set(one.values) & set(other.values)) > 1
    ]
    training = _pooled(spreads)
    paired_training = _pooled([spread for pair in pairs if (spread := _spread(pair))])
    if paired_training is None or runs < 2:
        return NumberPower(sampling, training)
    paired_sampling = fmean(_shared(pair) for pair in pairs) ** 0.5
    return NumberPower(
        sampling,
        training,
        paired_sampling,
        paired_training,
        visible_difference(paired_training, paired_sampling, runs, degrees),
        runs_to_see(difference, paired_training, paired_sampling, degrees),
        method_pairs(methods),
    )


def method_pairs(methods: Mapping[str, Measured]) -> tuple[MethodPair, ...]:
    """All pairs of methods that have two runs in common, those that differ by the most errors first.

    Args:
        methods: A number of each method by run.
    """
    found = []
    for one, other in combinations(methods, 2):
        if len(set(methods[one].values) & set(methods[other].values)) < 2:
            continue
        errors = paired_difference(methods[one], methods[other]).errors
        total, interval = errors.both or errors.seeds, errors.interval
        assert total is not None
        assert interval is not None
        error = total.standard_error or 0.0
        if total.mean < 0:
            found.append(MethodPair(other, one, -total.mean, error, -interval.high, -interval.low))
        else:
            found.append(MethodPair(one, other, total.mean, error, interval.low, interval.high))
    return tuple(sorted(found, key=lambda pair: -pair.in_errors))


def _spread(measured: Measured) -> tuple[float, int] | None:
    """Variance between runs and its degrees of freedom; None for one run."""
    values = list(measured.values.values())
    return (float(np.var(values, ddof=1)), len(values) - 1) if len(values) > 1 else None


def _pooled(spreads: Sequence[tuple[float, int]]) -> float | None:
    """Standard deviation of several variances, weighted by their degrees of freedom."""
    if not spreads:
        return None
    return float((sum(variance * n for variance, n in spreads) / sum(n for _, n in spreads)) ** 0.5)


def _shared(pair: Measured) -> float:
    """Variance of a mean difference from the test samples that all runs share."""
    errors = sources_of_error(pair)
    if errors.both is None or errors.seeds is None:
        return 0.0
    return max(0.0, (errors.both.standard_error or 0.0) ** 2 - (errors.seeds.standard_error or 0.0) ** 2)
