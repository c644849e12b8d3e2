"""Flips along a stream: at each step, since each task was learnt, and over the history of each sample."""

from dataclasses import dataclass
from itertools import pairwise
from typing import final

import numpy as np
import pyarrow as pa

from clbench.core.errors import MetricError
from clbench.reports.flips.chain import UNKNOWN, Chain, flips_between, graded_changes_between
from clbench.reports.flips.contingency import ContingencyTable
from clbench.reports.flips.flip_metrics import FlipMetric, all_metrics
from clbench.reports.flips.graded import GradedFlips, graded_flips

SHOWN = ("nfr", "pfr", "nfr_mc", "inconsistency", "nfi", "relative_nfr", "btc", "bec")
"""Flip metrics that are logged for each step; accuracies are logged elsewhere."""
GRADED = ("loss_rate", "gain_rate", "mean_loss", "mean_gain")
"""Fields of `GradedFlips` that are logged for each step."""


@final
@dataclass(frozen=True)
class SampleHistory:
    """Numbers of samples by what happened to their answers along a chain of versions.

    Args:
        n: Number of samples to which the last version has a right or wrong answer; the others are counts among these.
        was_right_is_wrong: Number of samples that an earlier version has right and the last version has wrong.
        flip_flops: Number of samples that changed between right and wrong at least twice.
        changes: Number of samples for each number of changes between right and wrong.
    """

    n: int
    was_right_is_wrong: int
    flip_flops: int
    changes: dict[int, int]


def steps(chain: Chain) -> list[ContingencyTable]:
    """The contingency table of each version against the previous one."""
    return [flips_between(chain, old, new) for old, new in pairwise(chain.versions)]


def per_step(chain: Chain, metric: FlipMetric) -> float | None:
    """Mean of a flip metric over the steps of a stream, as in Träuble et al. 2021 for BTC and BEC.

    Their NFR of a stream, all negative flips / (N T), is `nfr(ContingencyTable.total(steps(chain)))`.

    Formula: the mean of metric(table of step t) over the steps t for which it is defined
    Unit: that of the metric
    Direction: that of the metric
    Source: Träuble et al. 2021

    Returns:
        The mean; None if the metric is defined for no step.
    """
    found = [value for value in map(metric, steps(chain)) if value is not None]
    return sum(found) / len(found) if found else None


def between_all(chain: Chain, metric: FlipMetric) -> list[list[float | None]]:
    """A flip metric for each pair of versions: row i, column j for new version j against old version i; else None."""
    return [
        [metric(flips_between(chain, old, new)) if old < new else None for new in chain.versions]
        for old in chain.versions
    ]


def first_learnt_to_last(chain: Chain) -> ContingencyTable:
    """The table from the version that learnt each task to the last version, over all tasks but the last.

    Version i learns task i. For each task PFR - NFR = R[T][i] - R[i][i]. So if all tasks have the same number of
    samples, the change of accuracy in this table is the metric `bwt.gem`.

    Raises:
        MetricError: If the chain lacks a version for one of its tasks.
    """
    return ContingencyTable.total(
        flips_between(chain, version, len(chain.tasks), [task]) for task, version in _learnt(chain)[:-1]
    )


def first_learnt_to_last_graded(chain: Chain) -> dict[str, GradedFlips]:
    """Gains and losses from the version that learnt each task to the last version, for all tasks but the last.

    They are not added up, as the scores of tasks may have different units.

    Returns:
        Gains and losses by task; tasks without graded scores are left out.

    Raises:
        MetricError: If the chain lacks a version for one of its tasks.
    """
    found = {
        task: graded_flips(graded_changes_between(chain, version, len(chain.tasks), [task]))
        for task, version in _learnt(chain)[:-1]
    }
    return {task: flips for task, flips in found.items() if flips.n}


def history(chain: Chain) -> SampleHistory:
    """Counts over the histories of all samples, from the first to the last version of the chain."""
    last = chain.right[-1]
    known = last != UNKNOWN
    lost = (chain.right[:-1] == 1).any(axis=0) & (last == 0)
    changes = _changes(chain)[known]
    times, samples = np.unique(changes, return_counts=True)
    counted = {int(time): int(number) for time, number in zip(times, samples, strict=True)}
    return SampleHistory(int(known.sum()), int(lost.sum()), int((changes >= 2).sum()), counted)


def stream_numbers(ledger: pa.Table, protocol: str, releases: bool = False) -> dict[int, dict[str, float]]:
    """Numbers to log on the flips of a stream, by version; undefined numbers are left out.

    `flips/all/...`: this version against the previous one, over all tasks.
    `flips/learnt_before/...`: this version against the previous one, over the tasks learnt before this step.
    `flips/was_right_is_wrong`, `flips/flip_flops`: shares of all samples, over the versions so far.
    `flips/first_to_last/...`: only for the last version, against the version that learnt each task.

    If versions are releases of a model, no version learns a task. Then `learnt_before` and `first_to_last` are left
    out, and there are also
    `flips/task/<task>/...`: this version against the previous one, for each task.

    Args:
        ledger: Rows of all versions of a cell, or of those so far.
        protocol: Name of the protocol whose rows are counted.
        releases: Whether versions are releases.

    Raises:
        DataError: If the ledger lacks the protocol, or a version was tested on a sample twice.
    """
    chain = Chain.from_ledger(ledger, protocol)
    if releases:
        return {new: _of_release(chain, old, new) for old, new in pairwise(chain.versions)}
    found: dict[int, dict[str, float]] = {}
    for old, new in pairwise(chain.versions):
        before = chain.tasks[:old]
        found[new] = {
            **_numbers(chain, old, new, chain.tasks, "flips/all"),
            **(_numbers(chain, old, new, before, "flips/learnt_before") if before else {}),
            **_history_numbers(history(chain.until(new))),
        }
    learnt = tuple(range(1, len(chain.tasks) + 1))
    if len(learnt) > 1 and chain.versions in (learnt, (0, *learnt)):  # version 0 may have no rows
        found[chain.versions[-1]] |= _defined(first_learnt_to_last(chain), "flips/first_to_last")
    return found


def _of_release(chain: Chain, old: int, new: int) -> dict[str, float]:
    numbers = _numbers(chain, old, new, chain.tasks, "flips/all") | _history_numbers(history(chain.until(new)))
    for task in chain.tasks:
        numbers |= _numbers(chain, old, new, (task,), f"flips/task/{task}")
    return numbers


def _learnt(chain: Chain) -> list[tuple[str, int]]:
    missing = set(range(1, len(chain.tasks) + 1)) - set(chain.versions)
    if missing:
        wanted = f"a version for each of the {len(chain.tasks)} tasks"
        raise MetricError(f"wanted {wanted}, got {', '.join(map(str, chain.versions))}")
    return [(task, index) for index, task in enumerate(chain.tasks, 1)]


def _numbers(chain: Chain, old: int, new: int, tasks: tuple[str, ...], prefix: str) -> dict[str, float]:
    graded = graded_flips(graded_changes_between(chain, old, new, tasks))
    sizes = {f"{prefix}/{name}": value for name in GRADED if (value := getattr(graded, name)) is not None}
    return _defined(flips_between(chain, old, new, tasks), prefix) | sizes


def _defined(table: ContingencyTable, prefix: str) -> dict[str, float]:
    values = all_metrics(table)
    return {f"{prefix}/{name}": value for name in SHOWN if (value := values[name]) is not None}


def _history_numbers(found: SampleHistory) -> dict[str, float]:
    if not found.n:
        return {}
    shares = {"was_right_is_wrong": found.was_right_is_wrong, "flip_flops": found.flip_flops}
    return {f"flips/{name}": number / found.n for name, number in shares.items()}


def _changes(chain: Chain) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Number of changes of each sample between right and wrong; versions without answers are skipped; `(samples,)`."""
    times = np.zeros(len(chain.task), np.int64)
    state = chain.right[0].copy()
    for right in chain.right[1:]:
        times += (right != UNKNOWN) & (state != UNKNOWN) & (right != state)
        state = np.where(right == UNKNOWN, state, right)
    return times
