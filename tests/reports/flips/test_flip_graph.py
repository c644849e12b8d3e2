"""Flips along a graph of updates: as before for chains, and each version against its parent by loops over samples."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from tests.reports.flips.ledgers import graded, random_rows, rows, table
from tests.reports.graphs import MIXED, graphs

from clbench.core.errors import DataError
from clbench.reports.flips.chain import Chain, flips_between
from clbench.reports.flips.flip_metrics import all_metrics, nfr
from clbench.reports.flips.stream_flips import SHOWN, first_learnt_to_last, history, stream_numbers
from clbench.reports.matrix import ScoreMatrix
from clbench.spec.update import Adopt, Learn, Update

NAMES = ("task 0", "task 1", "task 2")


def ledger(versions: int, samples: int = 30) -> list[dict[str, Any]]:
    return [row for v in range(versions) for row in random_rows(v, samples, 3, version=v)]


def renamed(updates: tuple[Update, ...]) -> tuple[Update, ...]:
    """The updates with tasks named as in the ledger."""
    names = dict(zip("abc", NAMES, strict=True))
    return tuple(
        update.model_copy(update={"task": names[update.task], "name": update.label})
        if isinstance(update, Learn)
        else update
        for update in updates
    )


def of_a_chain(rows_: list[dict[str, Any]], *, releases: bool) -> dict[int, dict[str, float]]:
    """The numbers of a chain, each version against the one before it: what there was before streams were graphs."""

    def numbers(old: int, new: int, tasks: tuple[str, ...], prefix: str) -> dict[str, float]:
        values = all_metrics(flips_between(chain, old, new, tasks))
        return {f"{prefix}/{name}": value for name in SHOWN if (value := values[name]) is not None}

    chain = Chain.from_ledger(table(rows_), "task-id")
    found: dict[int, dict[str, float]] = {}
    for old, new in pairwise(chain.versions):
        so_far = history(Chain.from_ledger(table([row for row in rows_ if row["version"] <= new]), "task-id"))
        found[new] = numbers(old, new, chain.tasks, "flips/all")
        found[new]["flips/was_right_is_wrong"] = so_far.was_right_is_wrong / so_far.n
        found[new]["flips/flip_flops"] = so_far.flip_flops / so_far.n
        if releases:
            for task in chain.tasks:
                found[new] |= numbers(old, new, (task,), f"flips/task/{task}")
        elif old:
            found[new] |= numbers(old, new, chain.tasks[:old], "flips/learnt_before")
    if not releases and len(chain.versions) == len(chain.tasks) + 1:
        values = all_metrics(first_learnt_to_last(chain))
        found[chain.versions[-1]] |= {f"flips/first_to_last/{name}": values[name] or 0.0 for name in SHOWN}
    return found


@pytest.mark.parametrize("versions", [2, 3, 4])
def test_chains_of_tasks_and_of_releases_have_the_numbers_that_they_had(versions: int) -> None:
    made = ledger(versions)
    tasks = tuple(Learn(task=name) for name in NAMES)
    assert stream_numbers(table(made), "task-id", tasks) == of_a_chain(made, releases=False)
    assert stream_numbers(table(made), "task-id") == of_a_chain(made, releases=False)
    releases = tuple(Adopt(release=f"v{number}") for number in range(1, versions))
    assert stream_numbers(table(made), "task-id", releases) == of_a_chain(made, releases=True)


def test_a_version_that_was_not_tested_is_passed_over() -> None:
    made = [row for row in ledger(4) if row["version"] != 2]
    found = stream_numbers(table(made), "task-id", tuple(Learn(task=name) for name in NAMES))
    assert found == of_a_chain(made, releases=False)
    chain = Chain.from_ledger(table(made), "task-id")
    assert found[3]["flips/learnt_before/nfr"] == nfr(flips_between(chain, 1, 3, ["task 0"]))
    assert "flips/first_to_last/nfr" not in found[3]


def test_a_mixed_stream_compares_each_version_with_its_parent() -> None:
    made = ledger(7)
    found = stream_numbers(table(made), "task-id", renamed(MIXED))
    chain = Chain.from_ledger(table(made), "task-id")

    def of(old: int, new: int, *tasks: int) -> float | None:
        return nfr(flips_between(chain, old, new, [NAMES[task] for task in tasks]))

    assert sorted(found) == [1, 2, 3, 4, 5, 6]
    assert found[5]["flips/all/nfr"] == of(3, 5, 0, 1, 2)
    assert found[6]["flips/all/nfr"] == of(4, 6, 0, 1, 2)
    assert "flips/learnt_before/nfr" not in found[1]
    assert found[2]["flips/learnt_before/nfr"] == of(1, 2, 1)
    assert found[3]["flips/learnt_before/nfr"] == of(2, 3, 1)
    assert found[5]["flips/learnt_before/nfr"] == of(3, 5, 0, 1)
    assert found[6]["flips/learnt_before/nfr"] == of(4, 6, 0, 1)
    by_task = [version for version in found if "flips/task/task 2/nfr" in found[version]]
    assert by_task == [2, 4, 5]  # those that learn no task
    assert found[4]["flips/task/task 2/nfr"] == of(3, 4, 2)
    ends = [version for version in found if "flips/first_to_last/nfr" in found[version]]
    assert ends == [5, 6]
    since = flips_between(chain, 1, 6, ["task 1"]) + flips_between(chain, 3, 6, ["task 0"])
    assert found[6]["flips/first_to_last/nfr"] == nfr(since)


@given(graphs())
@settings(max_examples=30, deadline=None)
def test_loops_over_samples_give_the_same(graph: ScoreMatrix) -> None:
    made = ledger(graph.last + 1, samples=8)
    found = stream_numbers(table(made), "task-id", renamed(graph.updates))
    right = {(row["version"], row["task"], row["sample_id"]): row["correct"] for row in made}
    samples = {key[1:] for key in right}
    for version in range(1, graph.last + 1):
        parent = graph.parents[version - 1]
        lost = [s for s in samples if right[(parent, *s)] and not right[(version, *s)]]
        assert found[version]["flips/all/nfr"] == len(lost) / len(samples)
        path = graph.path(version)
        ever = [s for s in samples if any(right[(v, *s)] for v in path[:-1]) and not right[(version, *s)]]
        assert found[version]["flips/was_right_is_wrong"] == len(ever) / len(samples)
        known = graph.learnt_at(parent)
        assert ("flips/learnt_before/pfr" in found[version]) == bool(known)
        if known:
            names = {NAMES["abc".index(task)] for task in known}
            of_these = [s for s in lost if s[0] in names]
            assert found[version]["flips/learnt_before/nfr"] == len(of_these) / (8 * len(names))


def test_tasks_that_were_never_tested_are_left_out() -> None:
    made = [*rows(["a", "a"], ["a", "a"], version=0), *rows(["a", "b"], ["a", "a"], version=1)]
    made += graded([0.5], version=1, task="texts")
    found = stream_numbers(table(made), "task-id", (Learn(task="unseen"),))
    assert found[1]["flips/all/nfr"] == 0.5


def test_a_version_that_no_update_made_is_refused() -> None:
    with pytest.raises(DataError, match="the ledger has version 3, but the stream has 2 updates"):
        stream_numbers(table(ledger(4)), "task-id", renamed(MIXED)[:2])
