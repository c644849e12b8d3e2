"""Last, forgetting and negative flips of a cell on draws of its test samples."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self, final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clbench.core.errors import DataError, MetricError, did_you_mean
from clbench.reports.metrics._learning import learning
from clbench.reports.paths import forgotten_on, learnt_at
from clbench.reports.result import CellResult
from clbench.reports.retained_scores import retained_rows
from clbench.reports.statistics.intervals import RESAMPLES
from clbench.reports.statistics.sample_draws import Numbers, SampleDraws
from clbench.spec.ledger import row_scores
from clbench.spec.update import parents_of, path_to

LAST, FORGETTING, NFR = "last", "forgetting", "nfr"
COLUMNS = ("version", "protocol", "task", "sample_id", "target", "correct", "score")
"""Columns of a ledger that are read here."""
BETWEEN = "\x1f"
"""Stands between task and sample in the key of a sample; no name has it."""


@final
@dataclass(frozen=True, eq=False)
class DrawnSamples:
    """The test samples of a stream, in one order for all cells, and draws of them.

    Args:
        keys: Task and id of each sample, shape `(samples,)`.
        tasks: Names of the tasks, by the index that `draws.task` has.
        draws: The draws.
    """

    keys: pa.Array
    tasks: tuple[str, ...]
    draws: SampleDraws

    @classmethod
    def of_ledger(
        cls,
        rows: pa.Table,
        protocol: str,
        clusters: Mapping[str, str] = MappingProxyType({}),
        resamples: int = RESAMPLES,
    ) -> Self:
        """The samples of a ledger, and draws of them, which are the same whenever the samples are.

        Args:
            rows: Ledger of any cell of the stream.
            protocol: Name of the protocol.
            clusters: Patient or document of samples by their ids; each other sample is independent.
            resamples: Number of draws.

        Raises:
            DataError: If the ledger has no rows of the protocol.
        """
        keys = pc.unique(_keys(rows.filter(pc.equal(rows["protocol"], protocol)))).sort()
        if not len(keys):
            known = pc.unique(rows["protocol"]).to_pylist()
            raise DataError(f"no rows of protocol {protocol!r}: {did_you_mean(protocol, known)}")
        tasks, ids = zip(*(key.split(BETWEEN, 1) for key in keys.to_pylist()), strict=True)
        names = [("cluster", clusters[name]) if clusters.get(name) else ("sample", name) for name in ids]
        return cls(keys, tuple(dict.fromkeys(tasks)), SampleDraws.draw(tasks, names, resamples))

    def places(self, rows: pa.Table) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
        """Index of the sample of each row.

        Raises:
            DataError: For a sample that is not among these.
        """
        found = pc.index_in(_keys(rows), self.keys)
        if found.null_count:
            raise DataError(f"{found.null_count} rows of samples that the other cells were not tested on")
        return np.asarray(found.to_numpy(), np.int64)


def drawn_numbers(
    result: CellResult, rows: pa.Table, protocol: str, samples: DrawnSamples
) -> dict[str, tuple[float, Numbers]]:
    """What the last version of a cell reached, and the same on each draw of the samples.

    `last` is the mean score of the last version over the tasks (`average_accuracy`), `forgetting` is
    `forgetting.chaudhry`, and `nfr` is the share of samples that were right just after their task was learnt and are
    wrong in the last version (`flips/first_to_last/nfr`). In streams whose updates learn no task, `nfr` is the negative
    flip rate of the last update (`flips/all/nfr`).

    Args:
        result: Result of the cell.
        rows: Its ledger, with `COLUMNS`.
        protocol: Name of the protocol.
        samples: Test samples of the stream under this protocol.

    Returns:
        Value and draws, shape `(resamples,)`, by name; without numbers that are not defined for the cell.

    Raises:
        DataError: For samples that other cells were not tested on.
        MetricError: If the last version was not tested on all tasks.
    """
    path = path_to(result.last_version, parents_of(result.updates, "result"))
    of_protocol = retained_rows(rows.filter(pc.equal(rows["protocol"], protocol)), forgotten_on(result.updates, path))
    scores, right = _by_version(of_protocol, path, samples)
    matrix = result.matrix_for(protocol, result.last_version)
    along = matrix.along(matrix.last)
    columns = [samples.tasks.index(task) for task in along.tasks if task in samples.tasks]
    if len(columns) < len(along.tasks):
        raise MetricError("the last version was not tested on all tasks")
    drawn = samples.draws.task_means(scores)[:, :, columns]
    found = {LAST: (float(along.last_scores().mean()), drawn[:, -1].mean(axis=1))}
    metrics = result.protocols[protocol].last.metrics
    if (forgetting := metrics.get("forgetting.chaudhry")) is not None:
        found[FORGETTING] = (forgetting, _forgetting(drawn, learning(matrix).learnt))
    flips = _negative_flips(right, learnt_at(result.updates, path), path, samples)
    if not np.isnan(flips).all():
        found[NFR] = (float(np.nanmean(flips)), samples.draws.share(flips))
    return found


def _keys(rows: pa.Table) -> pa.Array:
    return pc.binary_join_element_wise(rows["task"], rows["sample_id"], BETWEEN).combine_chunks()


def _by_version(rows: pa.Table, path: tuple[int, ...], samples: DrawnSamples) -> tuple[Numbers, Numbers]:
    """Scores, and 1 or 0 for right and wrong answers, of a path's versions; NaN for none; `(versions, samples)`."""
    chosen = rows.filter(pc.is_in(rows["version"], pa.array(path, pa.int32())))
    row = np.searchsorted(path, chosen["version"].to_numpy())
    place = samples.places(chosen)
    scores, right = np.full((2, len(path), len(samples.keys)), np.nan)
    scores[row, place] = pc.fill_null(row_scores(chosen), np.nan).to_numpy()
    right[row, place] = pc.fill_null(pc.cast(chosen["correct"], pa.float64()), np.nan).to_numpy()
    return scores, right


def _forgetting(drawn: Numbers, learnt: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> Numbers:
    """`forgetting.chaudhry` of each draw: over the tasks learnt before the last version, in the order of learning."""
    last = drawn.shape[1] - 1
    earlier = learnt < last
    return np.asarray((np.nanmax(drawn[:, 1:last, earlier], axis=1) - drawn[:, last, earlier]).mean(axis=1))


def _negative_flips(right: Numbers, learnt: Mapping[str, int], path: tuple[int, ...], samples: DrawnSamples) -> Numbers:
    """1 for each sample that was right and is wrong in the last version, else 0; NaN where one is not known."""
    if not learnt:
        before = right[-2]
    else:
        before = np.full(right.shape[1], np.nan)
        for task, version in learnt.items():
            if version != path[-1] and task in samples.tasks:
                members = samples.draws.task == samples.tasks.index(task)
                before[members] = right[path.index(version), members]
    flips = ((before == 1) & (right[-1] == 0)).astype(np.float64)
    return np.where(np.isnan(before) | np.isnan(right[-1]), np.nan, flips)
