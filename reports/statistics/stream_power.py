"""The noise of each stream's numbers, and the smallest differences of methods that its design shows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, multimode
from typing import final

import numpy as np

from clbench.core.errors import ClbenchError
from clbench.reports.finished_cells import FinishedCell
from clbench.reports.statistics.cell_draws import COLUMNS, DrawnSamples, drawn_numbers
from clbench.reports.statistics.measured import Measured, sources_of_error
from clbench.reports.statistics.sample_draws import Numbers
from clbench.reports.statistics.visible_difference import runs_to_see, visible_difference
from clbench.spec.ledger import read_ledger


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
    """

    sampling: float
    training: float | None = None
    paired_sampling: float | None = None
    paired_training: float | None = None
    visible: float | None = None
    runs_to_see: int | None = None


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
    found, left_out = [], []
    for group in groups.values():
        name = protocol or next(iter(group[0].result.protocols))
        measured, samples, reasons = _measure(group, clusters_of(group[0]), name)
        left_out += reasons
        if samples is not None:
            found.append(_power(group, name, measured, samples, difference))
    return found, left_out


def _measure(
    cells: Sequence[FinishedCell], clusters: Mapping[str, str], protocol: str
) -> tuple[dict[str, dict[str, Measured]], DrawnSamples | None, list[str]]:
    """By number, then method: values and draws by run; the samples; and why cells were left out."""
    samples: DrawnSamples | None = None
    reasons: list[str] = []
    runs: dict[str, dict[str, dict[object, tuple[float, Numbers]]]] = {}
    for cell in sorted(cells, key=lambda cell: cell.ledger.stat().st_mtime_ns if cell.ledger.is_file() else 0):
        try:
            rows = read_ledger(cell.ledger, COLUMNS)
            if samples is None:
                samples = DrawnSamples.of_ledger(rows, protocol, clusters)
            numbers = drawn_numbers(cell.result, rows, protocol, samples)
        except ClbenchError as error:
            reasons.append(f"{cell.place.name}: {error}")
            continue
        for name, number in numbers.items():
            runs.setdefault(name, {}).setdefault(cell.method, {})[(cell.seed, _order(cell))] = number
    degrees = samples.draws.degrees_of_freedom if samples else 0
    measured = {
        name: {
            method: Measured({run: x for run, (x, _) in of.items()}, {run: d for run, (_, d) in of.items()}, degrees)
            for method, of in methods.items()
        }
        for name, methods in runs.items()
    }
    return measured, samples, reasons


def _power(
    cells: Sequence[FinishedCell],
    protocol: str,
    measured: Mapping[str, Mapping[str, Measured]],
    samples: DrawnSamples,
    difference: float,
) -> StreamPower:
    methods = measured.get("last", {})
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
        orders=len({_order(cell) for cell in cells}),
        samples=len(samples.keys),
        clusters=samples.draws.weights.shape[1],
        numbers={name: number_power(of, runs, degrees, difference) for name, of in measured.items()},
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
    )


def _order(cell: FinishedCell) -> tuple[str, ...]:
    return tuple(update.label for update in cell.result.updates)


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
