"""Metrics on matrices worked by hand, and identities between them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reports.matrices import THREE, matrices, matrix

from clbench.core.errors import MetricError
from clbench.core.registry import METRICS
from clbench.reports.matrix import ScoreMatrix

HIGHER = (
    "average_accuracy average_incremental_accuracy learning_accuracy bwt.gem bwt.continuum bwt.fusion_bench fwt.gem "
    "fwt.continuum mtil.transfer mtil.average"
)
OWN = sorted(
    [
        *HIGHER.split(),
        "mtil.last",
        "trace.op",
        "trace.bwt",
        *(f"forgetting.{v}" for v in ("avalanche", "chaudhry", "mammoth")),
    ]
)
DEFINED_FOR_ONE_TASK = {
    "average_accuracy",
    "average_incremental_accuracy",
    "learning_accuracy",
    "mtil.average",
    "mtil.last",
    "trace.op",
}


def metric(name: str, of: ScoreMatrix) -> float:
    return METRICS.get(name).value(of)


def test_every_variant_is_registered_with_its_direction() -> None:
    assert [name for name in METRICS.names() if name in OWN] == OWN
    assert {METRICS.get(name).details["direction"] for name in OWN if "forgetting" in name} == {"lower"}
    assert {METRICS.get(name).details["direction"] for name in OWN if "forgetting" not in name} == {"higher"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("average_accuracy", 2.0 / 3),
        ("average_incremental_accuracy", (0.8 + (0.9 + 0.7) / 2 + 2.0 / 3) / 3),
        ("learning_accuracy", (0.8 + 0.7 + 0.9) / 3),
        ("forgetting.chaudhry", (0.4 + 0.1) / 2),
        ("forgetting.avalanche", (0.3 + 0.1) / 2),
        ("forgetting.mammoth", (0.4 + 0.1) / 2),
        ("bwt.gem", (-0.3 - 0.1) / 2),
        ("bwt.continuum", (0.1 - 0.3 - 0.1) / 3),
        ("bwt.fusion_bench", (-0.3 - 0.1) / 3),
        ("fwt.gem", ((0.3 - 0.2) + (0.4 - 0.3)) / 2),
        ("fwt.continuum", (0.3 + 0.4) / 2),
        ("mtil.transfer", (0.3 + (0.2 + 0.4) / 2) / 2),
        ("mtil.average", ((0.8 + 0.9 + 0.5) / 3 + (0.3 + 0.7 + 0.6) / 3 + (0.2 + 0.4 + 0.9) / 3) / 3),
        ("mtil.last", 2.0 / 3),
        ("trace.op", 2.0 / 3),
        ("trace.bwt", (-0.3 - 0.1) / 2),
    ],
)
def test_three_tasks(name: str, value: float) -> None:
    assert metric(name, THREE) == pytest.approx(value, abs=1e-12)


def test_transfer_is_a_mean_of_means_and_not_of_cells() -> None:
    four = matrix([0] * 4, [0, 1.0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0])
    assert metric("mtil.transfer", four) == pytest.approx(1 / 3)  # 1/6 as a flat mean of the triangle


def test_a_later_task_that_helps() -> None:
    helped = matrix([None, None], [0.5, None], [0.7, 0.6])
    assert metric("forgetting.avalanche", helped) == pytest.approx(-0.2)
    assert metric("forgetting.chaudhry", helped) == pytest.approx(-0.2)
    assert metric("forgetting.mammoth", helped) == 0.0
    assert metric("bwt.gem", helped) == pytest.approx(0.2)
    assert metric("bwt.fusion_bench", helped) == pytest.approx(0.1)


def test_negative_scores() -> None:
    below = matrix([-1.0, -2.0], [-0.5, -3.0], [-0.75, -0.25])
    assert metric("forgetting.mammoth", below) == pytest.approx(0.25)  # a 0 for an empty cell would make it 0.75
    assert metric("average_accuracy", below) == pytest.approx(-0.5)
    assert metric("fwt.gem", below) == pytest.approx(-1.0)


def test_a_score_before_the_task_was_learnt_takes_part_in_the_best() -> None:
    better_before = matrix([0, 0, 0], [0.5, 0.9, 0], [0.5, 0.4, 0], [0.5, 0.3, 0.6])
    never_tested = matrix([0, None, 0], [0.5, None, 0], [0.5, 0.4, 0], [0.5, 0.3, 0.6])
    for name in ("forgetting.chaudhry", "forgetting.mammoth"):
        assert metric(name, better_before) == pytest.approx(0.3)
        assert metric(name, never_tested) == pytest.approx(0.05)


def test_version_0_takes_no_part_in_the_best() -> None:
    pre_trained_was_best = matrix([0.9, 0.9], [0.5, 0.5], [0.4, 0.5])
    assert metric("forgetting.chaudhry", pre_trained_was_best) == pytest.approx(0.1)
    assert metric("forgetting.mammoth", pre_trained_was_best) == pytest.approx(0.1)


@pytest.mark.parametrize("name", OWN)
def test_one_task(name: str) -> None:
    one = matrix([0.1], [0.6])
    if name in DEFINED_FOR_ONE_TASK:
        assert metric(name, one) == 0.6
    else:
        with pytest.raises(MetricError, match=r"needs at least 2 tasks, got 1: there is no (earlier|later) task to"):
            metric(name, one)


@pytest.mark.parametrize("name", ["forgetting.chaudhry", "forgetting.mammoth"])
def test_a_gap_after_the_task_was_learnt_is_not_passed_over(name: str) -> None:
    with pytest.raises(MetricError, match="version 2, task 'a' was not measured"):
        metric(name, matrix([0, 0, 0], [0.5, 0, 0], [None, 0.4, 0], [0.5, 0.3, 0.6]))


@pytest.mark.parametrize("name", OWN)
def test_no_metric_reads_what_its_formula_does_not_name(name: str) -> None:
    triangle = matrix([None, None], [0.5, None], [0.7, 0.6])
    if name in ("fwt.gem", "fwt.continuum", "mtil.transfer", "mtil.average"):
        with pytest.raises(MetricError, match=r"version [01], task 'b' was not measured"):
            metric(name, triangle)
    else:
        metric(name, triangle)


@given(matrices(least=2))
def test_identities(any_matrix: ScoreMatrix) -> None:
    tasks = any_matrix.number_of_tasks
    assert metric("bwt.gem", any_matrix) == -metric("forgetting.avalanche", any_matrix)
    learnt, changed = metric("learning_accuracy", any_matrix), metric("bwt.fusion_bench", any_matrix)
    assert metric("average_accuracy", any_matrix) == pytest.approx(learnt + changed, abs=1e-9)
    assert metric("trace.bwt", any_matrix) == metric("bwt.gem", any_matrix)
    assert metric("mtil.last", any_matrix) == metric("trace.op", any_matrix) == metric("average_accuracy", any_matrix)
    assert metric("bwt.fusion_bench", any_matrix) == pytest.approx(metric("bwt.gem", any_matrix) * (tasks - 1) / tasks)
    assert metric("forgetting.mammoth", any_matrix) >= 0
    assert metric("forgetting.mammoth", any_matrix) >= metric("forgetting.chaudhry", any_matrix)
    assert metric("forgetting.chaudhry", any_matrix) >= metric("forgetting.avalanche", any_matrix) - 1e-9


@given(matrices(least=2), st.floats(0.1, 100))
def test_every_metric_is_in_the_unit_of_the_scores(any_matrix: ScoreMatrix, factor: float) -> None:
    scaled = ScoreMatrix(any_matrix.tasks, any_matrix.scores * factor)
    for name in OWN:
        assert metric(name, scaled) == pytest.approx(factor * metric(name, any_matrix), rel=1e-6, abs=1e-6)
