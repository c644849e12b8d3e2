"""The numbers of several cells of one stream, by method and run, with draws of the test samples that all share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from statistics import fmean
from typing import final

import numpy as np

from clbench.core.errors import ClbenchError
from clbench.reports.finished_cells import FinishedCell
from clbench.reports.statistics.cell_draws import COLUMNS, DrawnSamples, drawn_numbers, last_answers
from clbench.reports.statistics.measured import Measured
from clbench.reports.statistics.sample_draws import Numbers
from clbench.spec.ledger import read_ledger


@final
@dataclass(frozen=True, eq=False)
class MeasuredNumbers:
    """Numbers of the methods of one stream.

    Attributes:
        numbers: By number (`last`, `forgetting`, `nfr`), then method; a run is a seed with its order of tasks.
        nfr_floor: Negative flip rate between the last versions of two seeds of one method, mean over ordered pairs and
            methods: what an update that changes nothing but the seed would cost. None without two seeds of one order.
        samples: The test samples and their draws; None if no cell could be read.
        left_out: Why cells were left out, one line each.
    """

    numbers: Mapping[str, Mapping[str, Measured]]
    nfr_floor: float | None
    samples: DrawnSamples | None
    left_out: tuple[str, ...]


def measured_numbers(cells: Sequence[FinishedCell], clusters: Mapping[str, str], protocol: str) -> MeasuredNumbers:
    """Read the ledgers of some cells; of several cells of one method and run the newest counts.

    Args:
        cells: Cells of equal `setting`.
        clusters: Patients or documents of test samples by their ids; each other sample is independent.
        protocol: Name of the protocol.
    """
    samples: DrawnSamples | None = None
    left_out: list[str] = []
    runs: dict[str, dict[str, dict[object, tuple[float, Numbers]]]] = {}
    answers: dict[tuple[str, tuple[str, ...]], dict[int, Numbers]] = {}
    for cell in sorted(cells, key=_written):
        try:
            rows = read_ledger(cell.ledger, COLUMNS)
            samples = samples or DrawnSamples.of_ledger(rows, protocol, clusters)
            numbers = drawn_numbers(cell.result, rows, protocol, samples)
            right = last_answers(cell.result, rows, protocol, samples)
        except ClbenchError as error:
            left_out.append(f"{cell.place.name}: {error}")
            continue
        answers.setdefault((cell.method, order_of(cell)), {})[cell.seed] = right
        for name, number in numbers.items():
            runs.setdefault(name, {}).setdefault(cell.method, {})[(cell.seed, order_of(cell))] = number
    degrees = samples.draws.degrees_of_freedom if samples else 0
    measured = {
        name: {
            method: Measured({run: x for run, (x, _) in of.items()}, {run: d for run, (_, d) in of.items()}, degrees)
            for method, of in methods.items()
        }
        for name, methods in runs.items()
    }
    return MeasuredNumbers(measured, _nfr_floor(list(answers.values())), samples, tuple(left_out))


def order_of(cell: FinishedCell) -> tuple[str, ...]:
    """Labels of the updates, in their order."""
    return tuple(update.label for update in cell.result.updates)


def _nfr_floor(answers: Sequence[Mapping[int, Numbers]]) -> float | None:
    """Mean over ordered pairs of seeds of a method, then over methods; over samples with an answer of both."""
    floors = []
    for of_seeds in answers:
        pairs = [(old == 1) & (new == 0) for old, new in permutations(of_seeds.values(), 2)]
        known = [~np.isnan(old) & ~np.isnan(new) for old, new in permutations(of_seeds.values(), 2)]
        rates = [float(flips[both].mean()) for flips, both in zip(pairs, known, strict=True) if both.any()]
        floors += [fmean(rates)] if rates else []
    return fmean(floors) if floors else None


def _written(cell: FinishedCell) -> int:
    return cell.ledger.stat().st_mtime_ns if cell.ledger.is_file() else 0
