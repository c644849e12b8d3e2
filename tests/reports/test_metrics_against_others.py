"""The metrics against two others: plain loops written from the formulas, and the real libraries."""

from collections.abc import Callable

import pytest
from hypothesis import given
from tests.reports.matrices import matrices

from clbench.core.errors import MetricError
from clbench.core.registry import METRICS
from clbench.reports.matrix import ScoreMatrix

R = list[list[float]]  # R[t][i - 1]


def mean(values: list[float]) -> float:
    total = 0.0
    for value in values:
        total += value
    return total / len(values)


def best(r: R, i: int, until: int) -> float:
    """Highest measured score of task i in versions 1..until; a gap from version i on is NaN and spoils it."""
    highest = r[i][i - 1]
    for t in range(1, until + 1):
        score = r[t][i - 1]
        if t >= i and score != score:
            return score
        if score > highest:
            highest = score
    return highest


def last_row(r: R) -> float:
    return mean([r[len(r) - 1][i] for i in range(len(r) - 1)])


def chaudhry(r: R) -> float:
    last = len(r) - 1
    return mean([best(r, i, last - 1) - r[last][i - 1] for i in range(1, last)])


def mammoth(r: R) -> float:
    last = len(r) - 1
    return mean([best(r, i, last) - r[last][i - 1] for i in range(1, last)])


def avalanche(r: R) -> float:
    last = len(r) - 1
    return mean([r[i][i - 1] - r[last][i - 1] for i in range(1, last)])


def continuum_bwt(r: R) -> float:
    last = len(r) - 1
    return mean([r[t][i - 1] - r[i][i - 1] for i in range(1, last) for t in range(i + 1, last + 1)])


def transfer(r: R) -> float:
    last = len(r) - 1
    return mean([mean([r[t][i - 1] for t in range(1, i)]) for i in range(2, last + 1)])


def average(r: R) -> float:
    last = len(r) - 1
    return mean([mean([r[t][i - 1] for t in range(1, last + 1)]) for i in range(1, last + 1)])


TWINS: dict[str, Callable[[R], float]] = {
    "average_accuracy": last_row,
    "forgetting.chaudhry": chaudhry,
    "forgetting.avalanche": avalanche,
    "forgetting.mammoth": mammoth,
    "bwt.gem": lambda r: -avalanche(r),
    "bwt.continuum": continuum_bwt,
    "bwt.fusion_bench": lambda r: sum(r[-1][i - 1] - r[i][i - 1] for i in range(1, len(r) - 1)) / (len(r) - 1),
    "fwt.gem": lambda r: mean([r[i - 1][i - 1] - r[0][i - 1] for i in range(2, len(r))]),
    "fwt.continuum": lambda r: mean([r[i - 1][i - 1] for i in range(2, len(r))]),
    "mtil.transfer": transfer,
    "mtil.average": average,
    "mtil.last": last_row,
    "trace.op": last_row,
    "trace.bwt": lambda r: -avalanche(r),
}


@pytest.mark.parametrize("name", TWINS)
@given(any_matrix=matrices(least=2))
def test_plain_loops_give_the_same(name: str, any_matrix: ScoreMatrix) -> None:
    wanted = TWINS[name](any_matrix.scores.tolist())
    assert METRICS.get(name).value(any_matrix) == pytest.approx(wanted, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", TWINS)
@given(any_matrix=matrices(least=2, gaps=True))
def test_a_metric_is_defined_exactly_where_the_loops_are(name: str, any_matrix: ScoreMatrix) -> None:
    wanted = TWINS[name](any_matrix.scores.tolist())
    if wanted != wanted:
        with pytest.raises(MetricError, match="was not measured"):
            METRICS.get(name).value(any_matrix)
    else:
        assert METRICS.get(name).value(any_matrix) == pytest.approx(wanted, rel=1e-9, abs=1e-9)


@pytest.mark.slow
def test_avalanche_gives_the_same() -> None:
    """Avalanche's own classes, fed as its evaluation plugin feeds them: after each task, all tasks so far."""
    module = pytest.importorskip("avalanche.evaluation.metrics.forgetting_bwt")

    @given(matrices(least=2))
    def check(any_matrix: ScoreMatrix) -> None:
        last, forgetting, bwt = any_matrix.number_of_tasks, module.Forgetting(), module.BWT()
        for version in range(1, last + 1):
            for task in range(1, version + 1):
                for theirs in (forgetting, bwt):
                    theirs.update(task, any_matrix.at(version, task), initial=task == version)
        for name, theirs in (("forgetting.avalanche", forgetting), ("bwt.gem", bwt)):
            found = theirs.result()
            assert sorted(found) == list(range(1, last))  # the last task has no later score
            assert METRICS.get(name).value(any_matrix) == pytest.approx(mean(list(found.values())), rel=1e-9, abs=1e-9)

    check()
