"""Rows over seeds: means, standard errors, order, failures, and what is never mixed."""

import math
from dataclasses import replace

import numpy as np
import pytest
from tests.reports.matrices import matrix

from clbench.reports.compute_result import result_of_matrices
from clbench.reports.estimates import estimate
from clbench.reports.leaderboard.aggregate import aggregate, mean_matrix
from clbench.reports.leaderboard.logged_cell import LoggedCell
from clbench.reports.matrix import ScoreMatrix


def cell(label: str, score: float | None, seed: int = 0, split: str = "test", **other: object) -> LoggedCell:
    made = LoggedCell(
        run_id=f"{label}{seed}{split}", key=f"{label}{seed}{split}", stream="s", learner="l", strategy=label,
        label=label, seed=str(seed), split=split, status="FINISHED" if score is not None else "FAILED", started=1,
        result=None if score is None else result_of_matrices({"task-id": matrix([0, 0], [0.2, 0], [0.1, score])}),
        error="out of memory" if score is None else None,
    )  # fmt: skip
    return replace(made, **other)  # type: ignore[arg-type]


def test_the_standard_error_is_that_of_the_mean() -> None:
    values = [0.1, 0.5, 0.45, 0.2]
    found = estimate(values)
    assert found.mean == pytest.approx(np.mean(values))
    assert found.standard_error == pytest.approx(np.std(values, ddof=1) / np.sqrt(4))
    assert found.n == 4


def test_one_seed_has_no_standard_error() -> None:
    assert estimate([0.3]).standard_error is None


def test_seeds_are_averaged_and_the_best_strategy_is_first() -> None:
    (section,) = aggregate([cell("bad", 0.1), cell("good", 0.5), cell("good", 0.9, seed=1), cell("middle", 0.6)])
    assert [standing.label for standing in section.standings] == ["good", "middle", "bad"]
    result = section.standings[0].results["task-id"]
    assert result.metrics["average_accuracy"].mean == pytest.approx((0.3 + 0.5) / 2)
    assert result.metrics["average_accuracy"].n == 2
    assert result.matrix is not None
    assert result.matrix.at(2, 2) == pytest.approx(0.7)


def test_failures_are_counted_and_come_last() -> None:
    (section,) = aggregate([cell("broken", None), cell("half", None), cell("half", 0.5, seed=1), cell("fine", 0.1)])
    assert [(s.label, len(s.finished), len(s.failed)) for s in section.standings] == [
        ("half", 1, 1),
        ("fine", 1, 0),
        ("broken", 0, 1),
    ]
    assert section.standings[2].failed[0].error == "out of memory"


def test_validation_is_never_mixed_with_test() -> None:
    sections = aggregate(
        [cell("lora", 0.9, split="validation"), cell("lora", 0.5), cell("lora", 0.3, split="(not said)")]
    )
    assert [(section.split, section.is_test, len(section.standings[0].finished)) for section in sections] == [
        ("test", True, 1),
        ("(not said)", False, 1),
        ("validation", False, 1),
    ]


def test_streams_and_learners_are_apart() -> None:
    sections = aggregate([cell("a", 0.5), cell("a", 0.5, stream="t"), cell("a", 0.5, learner="k")])
    assert [(section.stream, section.learner) for section in sections] == [("s", "k"), ("s", "l"), ("t", "l")]


def test_runs_of_different_budgets_are_apart() -> None:
    found = aggregate([cell("a", 0.1, budget="3 steps"), cell("a", 0.9, seed=1, budget="50 steps")])
    assert [
        (section.budget, section.standings[0].results["task-id"].metrics["average_accuracy"].n) for section in found
    ] == [
        ("3 steps", 1),
        ("50 steps", 1),
    ]


def test_a_seed_counts_once_and_the_page_says_that_there_were_more() -> None:
    (section,) = aggregate(
        [cell("a", 0.5), cell("a", 0.7, key="of other code", started=2), cell("a", None, key="third", started=3)]
    )
    (standing,) = section.standings
    assert standing.results["task-id"].metrics["average_accuracy"].mean == pytest.approx(0.4)
    assert (len(standing.finished), len(standing.failed)) == (1, 0)
    assert standing.notes == (
        "seed 0 was run with 3 configurations or versions of the code; the newest result is shown",
    )


def test_a_metric_that_some_seeds_lack_says_over_how_many() -> None:
    gap = result_of_matrices({"task-id": matrix([0, None], [0.2, 0], [0.1, 0.5])})
    (section,) = aggregate([cell("a", 0.5), cell("a", 0.5, seed=1, result=gap)])
    result = section.standings[0].results["task-id"]
    assert (result.metrics["fwt.gem"].n, result.metrics["bwt.gem"].n) == (1, 2)
    assert result.matrix is not None
    assert math.isnan(result.matrix.scores[0, 1])


def test_a_metric_that_no_seed_has_keeps_its_reason() -> None:
    (section,) = aggregate([cell("a", 0.5, result=result_of_matrices({"task-id": matrix([0.1], [0.6])}))])
    result = section.standings[0].results["task-id"]
    assert "bwt.gem" not in result.metrics
    assert "needs at least 2 tasks" in result.undefined["bwt.gem"]


def test_matrices_of_different_orders_are_not_averaged() -> None:
    one, other = (ScoreMatrix.from_rows(tasks, {2: [0.1, 0.9]}) for tasks in (["a", "b"], ["b", "a"]))
    assert mean_matrix([one, other]) is None
    assert mean_matrix([one, one]) == one
