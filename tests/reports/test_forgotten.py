"""Forgetting on request: forgotten test rows count nowhere but in numbers of their own, and both sides are the same."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reports.flips.ledgers import graded, random_rows, rows, table

from clbench.reports.compute_result import StreamOutline, compute_result, score_matrices, with_current_metrics
from clbench.reports.figures import matrix_figure
from clbench.reports.flips.stream_flips import stream_numbers
from clbench.reports.forgotten import Forgotten
from clbench.reports.leaderboard.aggregate import aggregate
from clbench.reports.leaderboard.logged_cell import LoggedCell
from clbench.reports.matrix import ScoreMatrix
from clbench.reports.matrix_labels import cell_state
from clbench.reports.metrics._compute import compute_all
from clbench.reports.paths import forgotten_on
from clbench.reports.result import CellResult, VersionResult, parse_result
from clbench.reports.retained_scores import retained_rows
from clbench.reports.site.stream_page import stream_page
from clbench.reports.update_table import update_rows
from clbench.spec.update import Compress, Forget, Learn, Update, path_to

X = Forgotten("birds", "x")
STREAM: tuple[Update, ...] = (Learn(task="birds"), Forget(task="birds", category="x"), Compress(bits=4))


def six(version: int, right: str, protocol: str = "task-id") -> list[dict[str, Any]]:
    """Six rows of a task with the classes x and y; rows 1 and 6 are of class x."""
    before = "birds: " if protocol == "union" else ""
    targets = [f"{before}{name}" for name in "xyyyyx"]
    answers = [target if sign == "1" else "other" for target, sign in zip(targets, right, strict=True)]
    return rows(answers, targets, version=version, task="birds", protocol=protocol)


def hand_case(protocol: str = "task-id") -> pa.Table:
    """Version 1 has 1 1 1 0 1 0, version 2 has 0 0 1 1 1 0; version 3 is as version 1."""
    answers = ("000000", "111010", "001110", "111010")
    return table([row for version, right in enumerate(answers) for row in six(version, right, protocol)])


def result(updates: tuple[Update, ...] = STREAM, protocol: str = "task-id") -> CellResult:
    return compute_result(
        StreamOutline({"birds": "classification"}, [protocol], updates), hand_case(protocol), [{}] * 4
    )


def without_forgetting(version: VersionResult) -> dict[str, Any]:
    """All numbers of a version but those of the forgotten rows."""
    found = version.model_dump()
    return {**found, "flips": {name: x for name, x in found["flips"].items() if not name.startswith("forget/")}}


@pytest.mark.parametrize("protocol", ["task-id", "union"])
def test_six_rows_by_hand(protocol: str) -> None:
    assert stream_numbers(hand_case(protocol), protocol, (STREAM[0], Compress(bits=8), STREAM[2]))[2][
        "flips/all/nfr"
    ] == pytest.approx(0.3333, abs=1e-4)
    found = stream_numbers(hand_case(protocol), protocol, STREAM)
    assert found[2]["flips/all/nfr"] == found[2]["flips/learnt_before/nfr"] == found[2]["flips/task/birds/nfr"] == 0.25
    assert found[2]["flips/all/pfr"] == 0.25
    assert (found[2]["forget/rows"], found[2]["forget/accuracy_test"], found[2]["forget/nfr"]) == (2.0, 0.0, 0.5)
    assert "forget/rows" not in found[1]
    assert found[3]["flips/all/nfr"] == 0.25  # version 3 descends from version 2
    assert (found[3]["forget/accuracy_test"], found[3]["forget/nfr"]) == (0.5, 0.0)


def test_metrics_compare_versions_on_the_rows_that_the_last_one_retains() -> None:
    found = result()
    versions = found.protocols["task-id"].versions
    assert [version.scores for version in versions] == [(0.0,), (4 / 6,), (0.75,), (0.75,)]
    assert versions[1].path_scores == ()
    assert versions[2].path_scores == ((0.0,), (0.75,), (0.75,))  # 4/6 of all rows are 3/4 of the retained ones
    assert versions[2].metrics["bwt.gem"] == 0.0
    assert versions[2].metrics["mtil.average"] == 0.75
    assert versions[1].metrics["average_accuracy"] == 4 / 6
    costs = versions[2].update
    assert (costs["update/score_before"], costs["update/score_after"], costs["update/n"]) == (0.75, 0.75, 4.0)
    assert (costs["update/nfr"], costs["update/lost"], costs["update/gained"]) == (0.25, 1.0, 1.0)
    row = update_rows([found], "task-id")[1]
    assert [row.cell(name, 1) for name in ("forget/rows", "forget/accuracy_test", "forget/nfr")] == ["2", "0.0", "50.0"]


def test_metrics_of_stored_results_are_computed_again_over_the_same_rows() -> None:
    found = result()
    stored = parse_result({"result": json.loads(json.dumps(found.as_json()))})
    assert stored == found
    old = stored.model_copy(update={"code": "other"})
    assert with_current_metrics(old).protocols == found.protocols


@pytest.mark.parametrize("protocol", ["task-id", "union"])
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_answers_to_forgotten_rows_change_nothing_else(protocol: str, data: st.DataObject) -> None:
    """Also where classes of two tasks have one name, and forgotten rows of earlier versions."""
    tasks = {"task 0": "classification", "task 1": "classification"}
    updates = (Learn(task="task 0"), Learn(task="task 1"), Forget(task="task 0", category="class 1"), Compress(bits=4))
    made = [row for version in range(5) for row in random_rows(version, 12, 2, version=version, protocol=protocol)]
    if protocol == "union":
        made = [{**row, "target": f"{row['task']}: {row['target']}"} for row in made]
    forgotten = [n for n, row in enumerate(made) if row["task"] == "task 0" and row["target"].endswith("class 1")]
    other = list(made)
    for number in forgotten:
        right = data.draw(st.booleans())
        other[number] = {**made[number], "correct": right, "prediction": made[number]["target"] if right else "none"}
    one, two = (
        compute_result(StreamOutline(tasks, [protocol], updates), table(ledger), [{}] * 5).protocols[protocol]
        for ledger in (made, other)
    )
    for version in (3, 4):
        assert without_forgetting(one.versions[version]) == without_forgetting(two.versions[version])
    rows_of_4 = [other[number]["correct"] for number in forgotten if other[number]["version"] == 4]
    assert two.versions[4].flips["forget/rows"] == len(rows_of_4)
    assert two.versions[4].flips["forget/accuracy_test"] == pytest.approx(np.mean(rows_of_4))


def test_requests_hold_for_all_that_descends_and_for_no_branch_beside() -> None:
    updates = (
        *(Learn(task="a"), Forget(task="a"), Learn(task="b"), Compress(bits=4, parent="a")),
        *(Forget(task="b", share=0.5, parent="b"), Forget(samples="list.csv"), Forget(task="b", category="x")),
    )
    found = [forgotten_on(updates, path_to(version, (0, 1, 2, 1, 3, 5, 6))) for version in range(8)]
    a, bx = Forgotten("a", None), Forgotten("b", "x")
    assert found == [set(), set(), {a}, {a}, set(), {a}, {a}, {a, bx}]


def test_a_whole_task_leaves_r_and_all_metrics_of_later_versions() -> None:
    updates = (Learn(task="task 0"), Learn(task="task 1"), Forget(task="task 0"))
    made = [row for version in range(4) for row in random_rows(version, 20, 2, version=version)]
    outline = StreamOutline({"task 0": "text", "task 1": "image"}, ["task-id"], updates)
    matrix = score_matrices(outline, table(made))["task-id"]
    assert [math.isnan(score) for score in matrix.scores[:, 0]] == [False, False, False, True]
    assert not np.isnan(matrix.scores[:, 1]).any()
    assert (matrix.counted_tasks(2), matrix.counted_tasks(3)) == (("task 0", "task 1"), ("task 1",))
    assert [cell_state(matrix, 3, task) for task in (1, 2)] == ["forgotten", "past"]
    found = compute_result(outline, table(made), [{}] * 4).protocols["task-id"]
    assert found.last.path_scores == ()  # the other columns are those of R
    assert found.last.scores[0] is None
    assert found.last.metrics["average_accuracy"] == matrix.scores[3, 1]
    assert found.last.metrics["bwt.gem"] == pytest.approx(matrix.scores[3, 1] - matrix.scores[2, 1])
    assert found.last.flips["forget/rows"] == 20.0
    assert found.last.update["update/n"] == 20.0
    assert found.kinds == {}  # one kind of task is left
    assert "flips/task/task 0/nfr" not in found.last.flips


def test_where_every_task_was_forgotten_metrics_say_so() -> None:
    matrix = ScoreMatrix(("a",), np.array([[0.1], [0.9], [math.nan]]), (Learn(task="a"), Forget(task="a")))
    report = compute_all(matrix)
    assert set(report.values.values()) == {None}
    assert set(report.undefined.values()) == {"all tasks that count for version 2 were forgotten on request"}
    assert compute_all(matrix, 1).values["average_accuracy"] == 0.9
    found = result((Learn(task="birds"), Forget(task="birds"), Compress(bits=4))).protocols["task-id"]
    assert found.last.update == {}
    assert found.last.scores == (None,)
    assert found.last.flips["forget/rows"] == 6.0
    assert "flips/all/nfr" not in found.last.flips


def test_rows_are_found_by_their_targets_under_every_protocol() -> None:
    made = table(
        [
            *rows(["x", "y"], ["x", "y"], task="birds"),
            *rows(["birds: x", "cars: x"], ["birds: x", "birds: y"], task="birds", protocol="union"),
            *rows(["x"], ["x"], task="cars"),
            *graded([0.5], task="birds", protocol="open"),
        ]
    )
    kept = retained_rows(made, frozenset({X})).to_pylist()
    assert [(row["task"], row["target"]) for row in kept] == [
        ("birds", "y"), ("birds", "birds: y"), ("cars", "x"), ("birds", None)
    ]  # fmt: skip
    assert {row["task"] for row in retained_rows(made, frozenset({Forgotten("birds", None)})).to_pylist()} == {"cars"}


def test_a_forgotten_task_is_marked_where_r_is_shown(tmp_path: Path) -> None:
    forgets = result((Learn(task="birds"), Forget(task="birds"), Compress(bits=4)))
    cell = LoggedCell(
        run_id="r", key="r", stream="s", learner="l", strategy="ssd", label="ssd", seed="0", split="test",
        status="FINISHED", started=1, result=forgets,
    )  # fmt: skip
    page = stream_page(aggregate([cell])[0], {}).html
    assert page.count('title="forgotten on request">\N{MULTIPLICATION SIGN}</td>') == 2
    matrix_figure(forgets.matrix("task-id"), "ssd", tmp_path / "r.png")
    assert (tmp_path / "r.png").stat().st_size > 1000
