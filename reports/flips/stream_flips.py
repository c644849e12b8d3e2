"""Flips along a stream: at each step, since each task was learnt, and over the history of each sample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import numpy as np
import pyarrow as pa

from clbench.core.errors import DataError, MetricError
from clbench.reports.flips.chain import UNKNOWN, Chain, flips_between, graded_changes_between
from clbench.reports.flips.contingency import ContingencyTable
from clbench.reports.flips.flip_metrics import FlipMetric, all_metrics, nfr
from clbench.reports.flips.graded import GradedFlips, graded_flips
from clbench.reports.paths import forgotten_on, learn_chain, learnt_at
from clbench.spec.update import Learn, Update, parents_of, path_to

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


def first_learnt_to_last(chain: Chain, learnt: Mapping[str, int] | None = None) -> ContingencyTable:
    """The table from the version that learnt each task to the last version, over all tasks learnt before the last one.

    For each task i, which version L(i) learnt, PFR - NFR = R[N][i] - R[L(i)][i], with N the last version. So if all
    tasks have the same number of samples, the change of accuracy in this table is the metric `bwt.gem`.

    Args:
        chain: Answers of the versions of one path.
        learnt: Number of the version that learnt each task; None if version i learnt task i.

    Raises:
        MetricError: If the chain lacks a version that learnt a task.
    """
    return ContingencyTable.total(
        flips_between(chain, version, chain.versions[-1], [task]) for task, version in _earlier(chain, learnt)
    )


def first_learnt_to_last_graded(chain: Chain, learnt: Mapping[str, int] | None = None) -> dict[str, GradedFlips]:
    """Gains and losses from the version that learnt each task to the last version, over the same tasks.

    They are not added up, as the scores of tasks may have different units.

    Args:
        chain: Answers of the versions of one path.
        learnt: Number of the version that learnt each task; None if version i learnt task i.

    Returns:
        Gains and losses by task; tasks without graded scores are left out.

    Raises:
        MetricError: If the chain lacks a version that learnt a task.
    """
    found = {
        task: graded_flips(graded_changes_between(chain, version, chain.versions[-1], [task]))
        for task, version in _earlier(chain, learnt)
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


def stream_numbers(ledger: pa.Table, protocol: str, updates: Sequence[Update] = ()) -> dict[int, dict[str, float]]:
    """Numbers to log on the flips of a stream, by version; undefined numbers are left out.

    Each version is compared with its parent, or with the nearest version on its path that was tested.

    `flips/all/...`: this version against its parent, over all tasks.
    `flips/learnt_before/...`: this version against its parent, over the tasks learnt on the path before this step.
    `flips/task/<task>/...`: this version against its parent, for each task; only for updates that learn no task.
    `flips/was_right_is_wrong`, `flips/flip_flops`: shares of all samples, over the versions of the path.
    `flips/first_to_last/...`: only for versions that no other starts from, against the version that learnt each task.

    If no update learns a task, as in streams of releases, `learnt_before` and `first_to_last` are left out.

    Test rows of a task or class that a version was asked to forget (`forgotten.py`) count in none of these, on neither
    side. They have numbers of their own, for this version and all that descend from it:

    `forget/rows`: number of these rows.
    `forget/accuracy_test`: mean score of this version on them; it should be that of a model that never saw the task.
    `forget/nfr`: negative flip rate of this version against its parent on them.

    Args:
        ledger: Rows of all versions of a cell, or of those so far.
        protocol: Name of the protocol whose rows are counted.
        updates: Updates 1, 2, ...; empty if the tasks are learnt one after another.

    Raises:
        DataError: If the ledger lacks the protocol, or has a version twice on a sample or that no update made.
        ConfigError: If the updates are no graph of versions.
    """
    chain = Chain.from_ledger(ledger, protocol)
    return chain_numbers(chain, updates or learn_chain(chain.tasks))


def chain_numbers(chain: Chain, updates: Sequence[Update]) -> dict[int, dict[str, float]]:
    """The numbers of `stream_numbers` for a ledger that is arranged already.

    Raises:
        DataError: If a version was made by no update.
        ConfigError: If the updates are no graph of versions.
    """
    parents = parents_of(updates, "flips")
    if chain.versions[-1] > len(updates):
        raise DataError(f"the ledger has version {chain.versions[-1]}, but the stream has {len(updates)} updates")
    found: dict[int, dict[str, float]] = {}
    for new in chain.versions:
        path = path_to(new, parents)
        forgotten = forgotten_on(updates, path)
        every = chain.along(path)
        if len(every.versions) < 2:
            continue
        so_far = every.retained(forgotten)
        old = so_far.versions[-2]
        learnt = {task: at for task, at in learnt_at(updates, path).items() if task in chain.tasks}
        before = tuple(task for task, at in learnt.items() if at <= old)
        found[new] = {
            **_numbers(so_far, old, new, chain.tasks, "flips/all"),
            **(_numbers(so_far, old, new, before, "flips/learnt_before") if before else {}),
            **_history_numbers(history(so_far)),
            **(_forget_numbers(every.of_samples(every.is_forgotten(forgotten)), old, new) if forgotten else {}),
        }
        if not isinstance(updates[new - 1], Learn):
            for task in chain.tasks:
                found[new] |= _numbers(so_far, old, new, (task,), f"flips/task/{task}")
        if before and new not in parents and set(learnt.values()) <= set(chain.versions):
            found[new] |= _defined(first_learnt_to_last(so_far, learnt), "flips/first_to_last")
    return found


def _earlier(chain: Chain, learnt: Mapping[str, int] | None) -> list[tuple[str, int]]:
    """The tasks learnt before the last version, each with the version that learnt it."""
    learnt = {task: index for index, task in enumerate(chain.tasks, 1)} if learnt is None else learnt
    if set(learnt.values()) - set(chain.versions):
        wanted = f"a version for each of the {len(learnt)} tasks"
        raise MetricError(f"wanted {wanted}, got {', '.join(map(str, chain.versions))}")
    return [(task, version) for task, version in learnt.items() if version < chain.versions[-1]]


def _numbers(chain: Chain, old: int, new: int, tasks: tuple[str, ...], prefix: str) -> dict[str, float]:
    graded = graded_flips(graded_changes_between(chain, old, new, tasks))
    sizes = {f"{prefix}/{name}": value for name in GRADED if (value := getattr(graded, name)) is not None}
    return _defined(flips_between(chain, old, new, tasks), prefix) | sizes


def _defined(table: ContingencyTable, prefix: str) -> dict[str, float]:
    values = all_metrics(table)
    return {f"{prefix}/{name}": value for name in SHOWN if (value := values[name]) is not None}


def _forget_numbers(chain: Chain, old: int, new: int) -> dict[str, float]:
    """Numbers of the forgotten samples, which are all that the chain has."""
    right, score = chain.right[-1], chain.score[-1]
    values = np.where(np.isnan(score), np.where(right == UNKNOWN, np.nan, right), score)
    rate = nfr(flips_between(chain, old, new))
    return {
        "forget/rows": float(len(chain.task)),
        **({"forget/accuracy_test": float(np.nanmean(values))} if np.isfinite(values).any() else {}),
        **({"forget/nfr": rate} if rate is not None else {}),
    }


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
