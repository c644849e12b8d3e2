"""Two candidates against one old model, and the noise between seeds."""

import pytest
from statsmodels.stats.contingency_tables import mcnemar
from tests.reports.flips.ledgers import random_rows, rows, table

from clbench.core.errors import DataError
from clbench.reports.flips.candidates import compare_candidates, seed_noise
from clbench.reports.flips.comparison import compare
from clbench.reports.flips.predictions import Predictions

TARGETS = ["a"] * 6


def predictions(name: str, answers: str) -> Predictions:
    return Predictions(name, table(rows(list(answers), TARGETS)))


def test_flips_of_two_candidates_worked_by_hand() -> None:
    found = compare_candidates(
        predictions("old", "aaaaab"), predictions("first", "abbbab"), predictions("second", "abaaba")
    )
    assert (found.old_right, found.first_only, found.second_only, found.both) == (5, 2, 1, 1)
    assert found.mcnemar_p == 1.0


def test_the_test_is_that_of_statsmodels_on_the_indicators() -> None:
    old, first, second = (random_rows(seed) for seed in (1, 2, 3))
    found = compare_candidates(*(Predictions(str(i), table(made)) for i, made in enumerate((old, first, second))))
    lost = [[o["correct"] and not n["correct"] for o, n in zip(old, new, strict=True)] for new in (first, second)]
    cells = [[sum(a == i and b == j for a, b in zip(*lost, strict=True)) for j in (0, 1)] for i in (0, 1)]
    assert found.mcnemar_p == pytest.approx(mcnemar(cells, exact=True).pvalue)
    assert (found.first_only, found.second_only, found.both) == (cells[1][0], cells[0][1], cells[1][1])


def test_candidates_without_a_common_sample_are_refused() -> None:
    with pytest.raises(DataError, match="no sample in common that old has right"):
        compare_candidates(
            predictions("old", "bbbbbb"), predictions("first", "aaaaaa"), predictions("second", "aaaaaa")
        )
    twice = Predictions("twice", table(rows(["a", "a"], ["a", "a"]) * 2))
    with pytest.raises(DataError, match="twice: task 'birds': sample 's0' is there 2 times"):
        compare_candidates(predictions("old", "aaaaaa"), predictions("first", "aaaaaa"), twice)


def test_the_noise_floor_of_seeds() -> None:
    seeds = [Predictions(str(seed), table(random_rows(seed))) for seed in (1, 2, 3)]
    pairs = [(i, j) for i in range(3) for j in range(3) if i != j]
    expected = [compare(seeds[i], seeds[j]).table for i, j in pairs]
    assert seed_noise(seeds) == pytest.approx(sum(t.negative_flips / t.n for t in expected) / 6)
    assert seed_noise(seeds[:1]) is None
