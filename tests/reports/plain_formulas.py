"""The formulas for streams in which version i learns task i, by indices of R alone: what paths must agree with."""

from collections.abc import Callable

import numpy as np

from clbench.core.errors import MetricError
from clbench.reports.matrix import ScoreMatrix, Scores

EARLIER, LATER = "there is no earlier task to", "there is no later task to transfer to"


def two_tasks(m: ScoreMatrix, why: str) -> int:
    """T, which must be at least 2."""
    if len(m.tasks) < 2:
        raise MetricError(f"needs at least 2 tasks, got 1: {why}")
    return len(m.tasks)


def last_row(m: ScoreMatrix) -> float:
    last = len(m.tasks)
    return float(m.cells(last, np.arange(1, last + 1)).mean())


def final_changes(m: ScoreMatrix) -> Scores:
    last = two_tasks(m, f"{EARLIER} transfer to")
    earlier = np.arange(1, last)
    return m.cells(last, earlier) - m.cells(earlier, earlier)


def continuum_bwt(m: ScoreMatrix) -> float:
    version, task = np.tril_indices(two_tasks(m, f"{EARLIER} transfer to"), k=-1)
    return float((m.cells(version + 1, task + 1) - m.cells(task + 1, task + 1)).mean())


def avalanche(m: ScoreMatrix) -> float:
    last = two_tasks(m, f"{EARLIER} forget")
    earlier = np.arange(1, last)
    return float((m.cells(earlier, earlier) - m.cells(last, earlier)).mean())


def best(m: ScoreMatrix, until: int) -> Scores:
    version, task = np.tril_indices(until)
    earlier = task + 1 < len(m.tasks)
    m.cells(version[earlier] + 1, task[earlier] + 1)
    return np.asarray(np.nanmax(m.scores[1 : until + 1, :-1], axis=0))


def from_best(m: ScoreMatrix, with_last: int) -> float:
    last = two_tasks(m, f"{EARLIER} forget")
    final = m.cells(last, np.arange(1, last))
    return float((best(m, last - 1 + with_last) - final).mean())


def just_before(m: ScoreMatrix) -> Scores:
    later = np.arange(2, two_tasks(m, LATER) + 1)
    return m.cells(later - 1, later)


def gem_fwt(m: ScoreMatrix) -> float:
    before = just_before(m)
    return float((before - m.cells(0, np.arange(2, len(m.tasks) + 1))).mean())


def transfer(m: ScoreMatrix) -> float:
    later = range(2, two_tasks(m, LATER) + 1)
    return float(np.mean([m.cells(np.arange(1, task), task).mean() for task in later]))


def average(m: ScoreMatrix) -> float:
    tasks = np.arange(1, len(m.tasks) + 1)
    return float(m.cells(tasks[:, np.newaxis], tasks).mean(axis=0).mean())


def learnt(m: ScoreMatrix) -> float:
    tasks = np.arange(1, len(m.tasks) + 1)
    return float(m.cells(tasks, tasks).mean())


def incremental(m: ScoreMatrix) -> float:
    versions = range(1, len(m.tasks) + 1)
    return float(np.mean([m.cells(version, np.arange(1, version + 1)).mean() for version in versions]))


PLAIN: dict[str, Callable[[ScoreMatrix], float]] = {
    "average_accuracy": last_row,
    "average_incremental_accuracy": incremental,
    "learning_accuracy": learnt,
    "bwt.gem": lambda m: float(final_changes(m).mean()),
    "bwt.continuum": continuum_bwt,
    "bwt.fusion_bench": lambda m: float(final_changes(m).sum() / len(m.tasks)),
    "forgetting.chaudhry": lambda m: from_best(m, 0),
    "forgetting.avalanche": avalanche,
    "forgetting.mammoth": lambda m: from_best(m, 1),
    "fwt.gem": gem_fwt,
    "fwt.continuum": lambda m: float(just_before(m).mean()),
    "mtil.transfer": transfer,
    "mtil.average": average,
    "mtil.last": last_row,
    "trace.op": last_row,
    "trace.bwt": lambda m: float(final_changes(m).mean()),
}
