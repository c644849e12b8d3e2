"""The accuracy matrix: its shape, its cells and what it says of those that were not measured."""

from typing import Any

import numpy as np
import pytest

from clbench.core.errors import DataError, MetricError
from clbench.reports.matrix import ScoreMatrix

NAN = float("nan")


def test_tasks_count_from_one_and_versions_from_zero() -> None:
    matrix = ScoreMatrix(("a", "b"), np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]))
    assert (matrix.number_of_tasks, matrix.at(0, 1), matrix.at(2, 2)) == (2, 0.1, 0.6)


def test_an_unmeasured_cell_is_named() -> None:
    matrix = ScoreMatrix.from_rows(["cars", "flags"], {1: [0.1, NAN]})
    with pytest.raises(MetricError, match=r"^version 1, task 'flags' was not measured$"):
        matrix.at(1, 2)
    with pytest.raises(MetricError, match=r"^version 0, task 'cars' was not measured \(and 2 more\)$"):
        matrix.cells([0, 0, 1, 1], [1, 2, 1, 2])


@pytest.mark.parametrize(("version", "task"), [(-1, 1), (3, 1), (0, 0), (0, 3)])
def test_a_cell_outside_is_a_defect_of_the_formula(version: int, task: int) -> None:
    with pytest.raises(IndexError):
        ScoreMatrix(("a", "b"), np.zeros((3, 2))).at(version, task)


def test_nothing_changes_a_matrix() -> None:
    given = np.zeros((2, 1))
    matrix = ScoreMatrix(("a",), given)
    given[0, 0] = 1.0
    assert matrix.at(0, 1) == 0.0
    with pytest.raises(ValueError, match="read-only"):
        matrix.scores[0, 0] = 1.0


def test_equal_matrices_are_equal_where_nothing_was_measured_too() -> None:
    one, same = (ScoreMatrix.from_rows(["a"], {1: [0.5]}) for _ in range(2))
    assert one == same
    assert hash(one) == hash(same)
    assert one != ScoreMatrix.from_rows(["a"], {1: [0.6]})
    assert one != ScoreMatrix.from_rows(["b"], {1: [0.5]})
    assert one != "a matrix"


@pytest.mark.parametrize(
    ("tasks", "scores", "message"),
    [
        ((), np.zeros((1, 0)), "at least one task"),
        (("",), np.zeros((2, 1)), "at least one task"),
        ((" a",), np.zeros((2, 1)), "without spaces"),
        (("a", "a"), np.zeros((3, 2)), "distinct names of tasks, got a, a"),
        (("a",), np.zeros((1, 1)), r"2 versions x 1 tasks, got \(1, 1\)"),
        (("a",), np.array([[0.0], [np.inf]]), "infinite"),
    ],
)
def test_what_is_not_a_matrix_is_refused(tasks: tuple[str, ...], scores: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        ScoreMatrix(tasks, scores)


def test_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="version must be from 0 to 1, got 2"):
        ScoreMatrix.from_rows(["a"], {2: [0.5]})
    with pytest.raises(DataError, match="version 1: wanted 1 scores, got 2"):
        ScoreMatrix.from_rows(["a"], {1: [0.5, 0.6]})
