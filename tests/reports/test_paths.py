"""Metrics along paths of a graph of updates: by hand, against loops, and unchanged where tasks come one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reports.graphs import GRAPH, MIXED, SCORES, TASKS, graphs
from tests.reports.matrices import matrices
from tests.reports.plain_formulas import PLAIN

from clbench.core.errors import DataError, MetricError
from clbench.core.registry import METRICS
from clbench.reports.matrix import ScoreMatrix
from clbench.reports.metrics._compute import compute_all
from clbench.spec.update import Adopt, Compress, Learn


def outcome(name: str, matrix: ScoreMatrix, plain: bool) -> float | str:
    """The number, or the reason why there is none."""
    try:
        return PLAIN[name](matrix) if plain else METRICS.get(name).value(matrix)
    except MetricError as error:
        return str(error)


@pytest.mark.parametrize("name", PLAIN)
@given(matrix=matrices(gaps=True))
def test_where_version_i_learns_task_i_not_a_bit_changes(name: str, matrix: ScoreMatrix) -> None:
    assert outcome(name, matrix, plain=False) == outcome(name, matrix, plain=True)


def test_every_own_metric_has_a_plain_form() -> None:
    own = {name for name in METRICS.names() if METRICS.get(name).value.__module__.startswith("clbench.reports.metrics")}
    assert own == set(PLAIN)


def test_a_path_has_its_versions_and_the_tasks_in_the_order_of_learning() -> None:
    assert GRAPH.made_of == ("b", "8 bits", "a", "4 bits", "2 bits", "c")
    assert GRAPH.parents == (0, 1, 2, 3, 3, 4)
    assert (GRAPH.path(5), GRAPH.path()) == ((0, 1, 2, 3, 5), (0, 1, 2, 3, 4, 6))
    assert GRAPH.learnt_at(5) == {"b": 1, "a": 3}
    assert list(GRAPH.learnt_at()) == ["b", "a", "c"]
    path = GRAPH.along(6)
    assert path.tasks == ("b", "a", "c")
    assert path.made_of == ("b", "8 bits", "a", "4 bits", "c")
    assert path.numbers == (0, 1, 2, 3, 4, 6)
    assert path.scores.tolist() == SCORES[[0, 1, 2, 3, 4, 6]][:, [1, 0, 2]].tolist()
    assert GRAPH.along(5).scores.tolist() == SCORES[[0, 1, 2, 3, 5]][:, [1, 0]].tolist()
    assert path.along(path.last) is path


@pytest.mark.parametrize(
    ("name", "branch", "end"),
    [  # the branch ends with version 5 (tasks b, a), the end is version 6 (tasks b, a, c)
        ("average_accuracy", (0.2 + 0.3) / 2, (0.95 + 0.65 + 0.99) / 3),
        ("learning_accuracy", (0.9 + 0.8) / 2, (0.9 + 0.8 + 0.99) / 3),
        (
            "average_incremental_accuracy",
            (0.9 + 0.85 + (0.7 + 0.8) / 2 + (0.2 + 0.3) / 2) / 4,
            (0.9 + 0.85 + (0.7 + 0.8) / 2 + (0.6 + 0.75) / 2 + (0.95 + 0.65 + 0.99) / 3) / 5,
        ),
        ("bwt.gem", ((0.2 - 0.9) + (0.3 - 0.8)) / 2, ((0.95 - 0.9) + (0.65 - 0.8)) / 2),
        ("bwt.fusion_bench", ((0.2 - 0.9) + (0.3 - 0.8)) / 2, ((0.95 - 0.9) + (0.65 - 0.8)) / 3),
        (
            "bwt.continuum",
            ((0.85 - 0.9) + (0.7 - 0.9) + (0.2 - 0.9) + (0.3 - 0.8)) / 4,
            ((0.85 - 0.9) + (0.7 - 0.9) + (0.6 - 0.9) + (0.95 - 0.9) + (0.75 - 0.8) + (0.65 - 0.8)) / 6,
        ),
        ("forgetting.chaudhry", ((0.9 - 0.2) + (0.8 - 0.3)) / 2, ((0.9 - 0.95) + (0.8 - 0.65)) / 2),
        ("forgetting.mammoth", ((0.9 - 0.2) + (0.8 - 0.3)) / 2, (0 + (0.8 - 0.65)) / 2),
        ("fwt.gem", 0.05 - 0.1, ((0.05 - 0.1) + (0.45 - 0.3)) / 2),
        ("fwt.continuum", 0.05, (0.05 + 0.45) / 2),
        ("mtil.transfer", (0.15 + 0.05) / 2, ((0.15 + 0.05) / 2 + (0.25 + 0.35 + 0.4 + 0.45) / 4) / 2),
        ("mtil.average", ((0.9 + 0.85 + 0.7 + 0.2) / 4 + (0.15 + 0.05 + 0.8 + 0.3) / 4) / 2, None),
    ],
)
def test_a_mixed_stream_by_hand(name: str, branch: float, end: float | None) -> None:
    assert compute_all(GRAPH.along(5)).values[name] == pytest.approx(branch, abs=1e-12)
    if end is not None:
        assert METRICS.get(name).value(GRAPH) == pytest.approx(end, abs=1e-12)


def test_before_the_first_task_only_scores_are_defined_and_the_first_task_has_no_forward_transfer() -> None:
    updates = (Compress(bits=4), Learn(task="a"), Learn(task="b"))
    matrix = ScoreMatrix(("a", "b"), np.array([[0.1, 0.2], [0.3, 0.4], [0.9, 0.5], [0.8, 0.7]]), updates)
    report = compute_all(matrix.along(1))
    assert report.values["average_accuracy"] == pytest.approx(0.35)  # all tasks, as none was learnt
    assert report.undefined["bwt.gem"] == "none of the updates that lead to this version learnt one of the tasks"
    assert report.undefined["mtil.average"] == report.undefined["bwt.gem"]
    report = compute_all(matrix.along(2))
    assert report.values["mtil.transfer"] == pytest.approx(0.3)
    assert report.undefined["fwt.gem"] == "needs at least 2 tasks, got 1: there is no later task to transfer to"
    assert compute_all(matrix).values["fwt.gem"] == pytest.approx(0.5 - 0.2)
    assert compute_all(matrix).values["mtil.transfer"] == pytest.approx((0.3 + (0.4 + 0.5) / 2) / 2)


def test_releases_have_the_reasons_that_they_had() -> None:
    releases = (Adopt(release="v1"), Adopt(release="v2"))
    report = compute_all(ScoreMatrix(TASKS, np.full((3, 3), 0.5), releases))
    assert {name for name, value in report.values.items() if value is not None} == {"average_accuracy", "mtil.last"}
    reason = "versions are releases of the model here, and none of them learnt one of the tasks"
    assert set(report.undefined.values()) == {reason}


def test_a_formula_that_indexes_cells_is_refused_where_version_i_did_not_learn_task_i() -> None:
    with pytest.raises(MetricError, match="supposes that version i learnt task i, but the updates here are b, 8 bits"):
        GRAPH.at(1, 1)
    branch = ScoreMatrix(("a", "b"), np.zeros((3, 2)), (Learn(task="a"), Learn(task="b", parent="pre-trained")))
    with pytest.raises(MetricError, match=r"the updates here are a, b$"):
        branch.cells(2, 1)
    assert branch.along(2).at(1, 1) == 0.0  # the path learns b alone, as its first task
    with pytest.raises(MetricError, match="version 2, task 'b' was not measured"):
        ScoreMatrix(branch.tasks, np.full((3, 2), np.nan), branch.updates).along(2).at(1, 1)


@given(graphs(), st.data())
def test_versions_beside_a_path_change_none_of_its_numbers(graph: ScoreMatrix, data: st.DataObject) -> None:
    version = data.draw(st.integers(1, graph.last))
    path = graph.path(version)
    beside = [number for number in range(graph.last + 1) if number not in path]
    other = graph.scores.copy()
    other[beside] = -7.0
    changed = ScoreMatrix(graph.tasks, other, graph.updates)
    assert compute_all(changed.along(version)) == compute_all(graph.along(version))


@given(graphs(), st.data())
def test_loops_over_a_path_give_the_same(graph: ScoreMatrix, data: st.DataObject) -> None:
    version = data.draw(st.integers(1, graph.last))
    versions: list[int] = []
    learnt: dict[str, int] = {}
    number = version
    while number:
        versions.insert(0, number)
        number = graph.parents[number - 1]
    for number in versions:
        update = graph.updates[number - 1]
        if isinstance(update, Learn) and update.task not in learnt:
            learnt[update.task] = number
    r = {number: dict(zip(graph.tasks, row, strict=True)) for number, row in enumerate(graph.scores.tolist())}
    found = compute_all(graph.along(version)).values
    tasks = list(learnt) or list(TASKS)
    assert found["average_accuracy"] == pytest.approx(sum(r[version][task] for task in tasks) / len(tasks))
    earlier = [task for task, at in learnt.items() if at != version]
    if not earlier:
        assert found["bwt.gem"] is None
        return
    changes = [r[version][task] - r[learnt[task]][task] for task in earlier]
    assert found["bwt.gem"] == pytest.approx(sum(changes) / len(changes), abs=1e-9)
    falls = [max(r[number][task] for number in versions[:-1]) - r[version][task] for task in earlier]
    assert found["forgetting.chaudhry"] == pytest.approx(sum(falls) / len(falls), abs=1e-9)


@given(matrices(), st.integers(1, 3))
def test_an_update_that_changes_nothing_leaves_what_it_should(plain: ScoreMatrix, times: int) -> None:
    same = tuple(Compress(bits=bits) for bits in range(1, times + 1))
    rows = np.concatenate([plain.scores, np.repeat(plain.scores[-1:], times, axis=0)])
    longer = ScoreMatrix(plain.tasks, rows, plain.updates + same)
    before, after = compute_all(plain).values, compute_all(longer).values
    unchanged = ["average_accuracy", "fwt.gem", "fwt.continuum", "mtil.last", "mtil.transfer", "trace.op"]
    for name in unchanged:
        assert after[name] == before[name]
    if len(plain.tasks) > 1:  # the last task counts as an earlier one now, with a change of 0
        for name in ("bwt.fusion_bench", "forgetting.mammoth"):
            share = 1 if name == "bwt.fusion_bench" else (len(plain.tasks) - 1) / len(plain.tasks)
            best = max(plain.scores[1:, -1]) - plain.scores[-1, -1] if name == "forgetting.mammoth" else 0.0
            wanted = METRICS.get(name).value(plain) * share + best / len(plain.tasks)
            assert after[name] == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize(
    ("updates", "rows_are"),
    [
        ((), "version"),
        ((Learn(task="a"), Learn(task="b"), Learn(task="c")), "version"),
        ((Learn(task="b"), Learn(task="a"), Learn(task="c")), "update"),
        ((Learn(task="a"), Learn(task="b", parent="pre-trained"), Learn(task="c")), "update"),
        ((Adopt(release="v1"), Adopt(release="v2"), Adopt(release="v3")), "release"),
        ((Adopt(release="v1"), Adopt(release="v2"), Compress(bits=4)), "update"),
    ],
)
def test_the_csv_file_of_other_updates_is_not_read_as_one_of_tasks(updates: tuple[Learn, ...], rows_are: str) -> None:
    matrix = ScoreMatrix(TASKS, np.zeros((4, 3)), updates)
    assert matrix.rows_are == rows_are
    assert matrix.to_csv().startswith(f"{rows_are},a,b,c\n0,")


def test_what_is_no_graph_is_refused() -> None:
    with pytest.raises(DataError, match="score matrix: two updates are named 'a'"):
        ScoreMatrix(("a",), np.zeros((3, 1)), (Learn(task="a"), Learn(task="a")))
    with pytest.raises(DataError, match="there is no earlier update 'x'"):
        ScoreMatrix(("a",), np.zeros((2, 1)), (Learn(task="a", parent="x"),))
    with pytest.raises(DataError, match="wanted 7 versions x 3 tasks"):
        ScoreMatrix(TASKS, np.zeros((4, 3)), MIXED)
