"""Flips along the versions of a stream: by hand, against loops over single samples, and against R."""

import itertools
from typing import Any

import numpy as np
import pytest
from tests.reports.flips.ledgers import graded, random_rows, rows, table

from clbench.core.errors import DataError, MetricError
from clbench.reports.flips.chain import Chain, flips_between
from clbench.reports.flips.contingency import ContingencyTable
from clbench.reports.flips.flip_metrics import btc, nfr
from clbench.reports.flips.stream_flips import (
    between_all,
    first_learnt_to_last,
    first_learnt_to_last_graded,
    history,
    per_step,
    steps,
    stream_numbers,
)
from clbench.reports.matrix import ScoreMatrix
from clbench.reports.metrics.bwt import gem_bwt
from clbench.spec.ledger import task_scores

TARGETS = ["a", "a", "a", "a"]
BY_HAND = [
    *rows(["a", "b", "b", "c"], TARGETS, version=0),
    *rows(["a", "a", "b", "b"], TARGETS, version=1),
    *rows(["b", "b", "b", "b"], TARGETS, version=2),
    *rows(["a", "b", "b", "a"], TARGETS, version=3),
]


def stream(versions: int = 4, tasks: int = 3) -> list[dict[str, Any]]:
    return [row for v in range(versions) for row in random_rows(v, 40, tasks, version=v)]


def test_four_samples_worked_by_hand() -> None:
    chain = Chain.from_ledger(table(BY_HAND), "task-id")
    assert steps(chain) == [
        ContingencyTable(1, 0, 1, 1, 1),
        ContingencyTable(0, 2, 0, 2, 0),
        ContingencyTable(0, 0, 2, 2, 0),
    ]
    found = history(chain)
    assert (found.n, found.was_right_is_wrong, found.flip_flops) == (4, 1, 2)
    assert found.changes == {0: 1, 1: 1, 2: 2}
    assert per_step(chain, btc) == pytest.approx((1.0 + 0.0) / 2)
    assert ContingencyTable.total(steps(chain)).negative_flips / (4 * 3) == nfr(ContingencyTable.total(steps(chain)))
    assert between_all(chain, nfr)[1] == [None, None, 0.5, 0.25]


def test_the_change_since_a_task_was_learnt_is_bwt() -> None:
    ledger = table(stream())
    chain = Chain.from_ledger(ledger, "task-id")
    scores = task_scores(ledger, "task-id")
    matrix = ScoreMatrix.from_rows(chain.tasks, {v: [scores[v, t] for t in chain.tasks] for v in chain.versions})
    found = first_learnt_to_last(chain)
    assert (found.positive_flips - found.negative_flips) / found.n == pytest.approx(gem_bwt(matrix))


def test_a_loop_over_samples_finds_the_same() -> None:
    made = stream()
    chain = Chain.from_ledger(table(made), "task-id")
    seen: dict[tuple[str, str], list[bool]] = {}
    for row in made:
        seen.setdefault((row["task"], row["sample_id"]), []).append(row["correct"])
    found = history(chain)
    assert found.was_right_is_wrong == sum(any(s[:-1]) and not s[-1] for s in seen.values())
    assert found.flip_flops == sum(sum(a != b for a, b in itertools.pairwise(s)) > 1 for s in seen.values())
    assert flips_between(chain, 0, 3).negative_flips == sum(s[0] and not s[3] for s in seen.values())


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rows_within_tasks_changes_nothing(seed: int) -> None:
    made = stream()
    shuffled = [made[i] for i in np.random.default_rng(seed).permutation(len(made))]
    shuffled.sort(key=lambda row: str(row["task"]))
    assert stream_numbers(table(made), "task-id") == stream_numbers(table(shuffled), "task-id")


def test_the_numbers_of_a_run() -> None:
    found = stream_numbers(table(stream()), "task-id")
    assert list(found) == [1, 2, 3]
    assert "flips/learnt_before/nfr" not in found[1]
    assert "flips/first_to_last/nfr" not in found[2]
    chain = Chain.from_ledger(table(stream()), "task-id")
    assert found[2]["flips/learnt_before/nfr"] == nfr(flips_between(chain, 1, 2, ["task 0"]))
    assert found[3]["flips/all/nfr"] == nfr(flips_between(chain, 2, 3))
    assert found[3]["flips/first_to_last/nfr"] == nfr(first_learnt_to_last(chain))
    assert found[3]["flips/was_right_is_wrong"] == history(chain).was_right_is_wrong / 120
    assert found[1].keys() == stream_numbers(table(stream(2)), "task-id")[1].keys()


def test_graded_scores_have_gains_and_losses() -> None:
    made = [
        row
        for version, scores in enumerate([[0.1, 0.1], [0.9, 0.5], [0.5, 0.6]])
        for task in ("texts", "more")
        for row in graded(scores, version=version, task=task)
    ]
    found = stream_numbers(table(made), "task-id")
    assert found[2]["flips/learnt_before/loss_rate"] == 0.5
    assert found[2]["flips/all/mean_loss"] == pytest.approx(0.4)
    assert "flips/all/nfr" not in found[2]
    (flips,) = first_learnt_to_last_graded(Chain.from_ledger(table(made), "task-id")).values()
    assert (flips.losses, flips.gains) == (1, 1)


def test_samples_that_a_version_was_not_tested_on_do_not_count() -> None:
    made = [row for row in BY_HAND if not (row["version"] == 2 and row["sample_id"] == "s0")]
    chain = Chain.from_ledger(table(made), "task-id")
    assert [step.n for step in steps(chain)] == [4, 3, 3]
    assert history(chain).flip_flops == 1


def test_what_is_not_there_is_said() -> None:
    chain = Chain.from_ledger(table(BY_HAND), "task-id")
    with pytest.raises(DataError, match="no version 7, but 0, 1, 2, 3"):
        flips_between(chain, 0, 7)
    with pytest.raises(DataError, match="no task 'bird': did you mean 'birds'"):
        flips_between(chain, 0, 1, ["bird"])
    with pytest.raises(DataError, match="no rows of protocol 'union': known: task-id"):
        Chain.from_ledger(table(BY_HAND), "union")
    with pytest.raises(DataError, match="the same sample of a task twice"):
        Chain.from_ledger(table(BY_HAND + BY_HAND[:1]), "task-id")
    with pytest.raises(MetricError, match="a version for each of the 3 tasks, got 0, 1"):
        first_learnt_to_last(Chain.from_ledger(table(stream(2)), "task-id"))
