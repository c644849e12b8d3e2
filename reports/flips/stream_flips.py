"""Flips along a stream: at every step, from first learnt to last, what was ever right, what flips back and forth."""

from dataclasses import dataclass
from itertools import pairwise
from typing import final

import numpy as np
import pyarrow as pa

from clbench.core.errors import MetricError
from clbench.reports.flips.chain import UNKNOWN, Chain, changes_between, flips_between
from clbench.reports.flips.contingency import ContingencyTable
from clbench.reports.flips.flip_metrics import FlipMetric, all_metrics
from clbench.reports.flips.graded import GradedFlips, graded_flips

SHOWN = ("nfr", "pfr", "nfr_mc", "inconsistency", "nfi", "relative_nfr", "btc", "bec")
"""The flip metrics of a step that are worth a curve; accuracy has its own."""
GRADED = ("loss_rate", "gain_rate", "mean_loss", "mean_gain")


@final
@dataclass(frozen=True)
class SampleHistory:
    """How many samples did what along a chain.

    Args:
        n: Samples with a right or wrong answer of the last version.
        was_right_is_wrong: Those that an earlier version had right and the last one has wrong.
        flip_flops: Those that changed between right and wrong at least twice: lost and regained, or regained and lost.
        changes: How many samples changed how often.
    """

    n: int
    was_right_is_wrong: int
    flip_flops: int
    changes: dict[int, int]


def steps(chain: Chain) -> list[ContingencyTable]:
    """The table of each version against the one before."""
    return [flips_between(chain, old, new) for old, new in pairwise(chain.versions)]


def per_step(chain: Chain, metric: FlipMetric) -> float | None:
    """Mean of a metric over the steps of a stream, as Träuble et al. 2021 do it for BTC and BEC; None without any.

    Their NFR of a stream, all negative flips over N T, is that of `ContingencyTable.total(steps(chain))`.
    """
    found = [value for value in map(metric, steps(chain)) if value is not None]
    return sum(found) / len(found) if found else None


def between_all(chain: Chain, metric: FlipMetric) -> list[list[float | None]]:
    """A metric for each pair of versions: row i and column j for j against i, None unless i is the earlier one."""
    return [
        [metric(flips_between(chain, old, new)) if old < new else None for new in chain.versions]
        for old in chain.versions
    ]


def first_learnt_to_last(chain: Chain) -> ContingencyTable:
    """The table from just after each task was learnt to the last version, the last task left out, as in BWT.

    Task i is learnt by version i. By task, PFR - NFR is R[T][i] - R[i][i], so that with tasks of one size the change of
    accuracy is `bwt.gem`.

    Raises:
        MetricError: Unless the chain has a version for each of its tasks.
    """
    return ContingencyTable.total(
        flips_between(chain, version, len(chain.tasks), [task]) for task, version in _learnt(chain)[:-1]
    )


def first_learnt_to_last_graded(chain: Chain) -> dict[str, GradedFlips]:
    """The same for graded scores, by task, as their units may differ.

    Raises:
        MetricError: Unless the chain has a version for each of its tasks.
    """
    found = {
        task: graded_flips(changes_between(chain, version, len(chain.tasks), [task]))
        for task, version in _learnt(chain)[:-1]
    }
    return {task: flips for task, flips in found.items() if flips.n}


def history(chain: Chain) -> SampleHistory:
    """What became of each sample, over all versions of the chain."""
    last = chain.right[-1]
    known = last != UNKNOWN
    lost = (chain.right[:-1] == 1).any(axis=0) & (last == 0)
    changes = _changes(chain)[known]
    times, samples = np.unique(changes, return_counts=True)
    counted = {int(time): int(number) for time, number in zip(times, samples, strict=True)}
    return SampleHistory(int(known.sum()), int(lost.sum()), int((changes >= 2).sum()), counted)


def stream_numbers(ledger: pa.Table, protocol: str, releases: bool = False) -> dict[int, dict[str, float]]:
    """What to log of a stream's flips, by version; a number that is not defined is left out.

    `flips/all/...`: this version against the one before, over all tasks.
    `flips/learnt_before/...`: the same over the tasks that were learnt before this step.
    `flips/was_right_is_wrong`, `flips/flip_flops`: shares of all samples, over the versions so far.
    `flips/first_to_last/...`: with the last version alone, from just after each task was learnt.

    Where versions are releases of a model on tasks that stay, none learnt a task, so the second and the last of these
    are not there; instead there is
    `flips/task/<task>/...`: this version against the one before, task by task.

    Args:
        ledger: The rows of all versions of a cell, or of those so far.
        protocol: The protocol to take.
        releases: Whether versions are releases.

    Raises:
        DataError: For a protocol that is not there, or a sample that a version was tested on twice.
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
    if len(learnt) > 1 and chain.versions in (learnt, (0, *learnt)):  # version 0 may have had no task to be tested on
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
    graded = graded_flips(changes_between(chain, old, new, tasks))
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
    """How often each sample changed between right and wrong, versions that did not test it passed over; shape (S,)."""
    times = np.zeros(len(chain.task), np.int64)
    state = chain.right[0].copy()
    for right in chain.right[1:]:
        times += (right != UNKNOWN) & (state != UNKNOWN) & (right != state)
        state = np.where(right == UNKNOWN, state, right)
    return times
