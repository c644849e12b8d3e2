"""What each update cost: by hand, over seeds, and where the terminal and the leaderboard show it."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from tests.reports.flips.ledgers import graded, rows, table
from tests.reports.page_tags import Tags

from clbench.reports.compute_result import StreamOutline, compute_result
from clbench.reports.headings import UPDATE_COSTS, update_number
from clbench.reports.leaderboard.board import make_board
from clbench.reports.leaderboard.logged_cell import LoggedCell
from clbench.reports.leaderboard.tables import to_json, to_markdown
from clbench.reports.result import CellResult, parse_result
from clbench.reports.site.stream_page import stream_page
from clbench.reports.update_table import terminal_table, update_columns, update_rows
from clbench.spec.update import Adopt, Compress, Learn, Update

UPDATES: tuple[Update, ...] = (Learn(task="one"), Compress(bits=4), Compress(sparsity=0.5, parent="one"))
RECORDS: list[dict[str, float]] = [
    {"seconds/train": 0.0},
    {"seconds/train": 3.0},
    {"compress/bits": 4.25, "compress/bytes": 120000.0, "compress/bytes_parent": 9.0, "update/norm": 1.0},
    {"sparsity": 0.5},
]


def answers(*versions: str) -> pa.Table:
    """Five answers of each version, `+` right and `-` wrong: four of task one, the last of task two."""
    made: list[dict[str, Any]] = []
    for version, text in enumerate(versions):
        said = ["right" if sign == "+" else f"wrong {version}" for sign in text]
        for task, part in (("one", said[:4]), ("two", said[4:])):
            made += rows(part, ["right"] * len(part), version=version, task=task)
    return table(made)


def result(*versions: str, updates: tuple[Update, ...] = UPDATES) -> CellResult:
    outline = StreamOutline({"one": "classification", "two": "classification"}, ["task-id"], updates)
    return compute_result(outline, answers(*versions), RECORDS[: len(versions)])


MADE = result("----+", "+++-+", "+--++", "++++-")


def test_four_versions_by_hand() -> None:
    costs = [version.update for version in MADE.protocols["task-id"].versions]
    assert costs[:2] == [{}, {}]  # nothing was learnt before version 1
    assert costs[2] == {
        "update/score_before": 0.75,
        "update/score_after": 0.5,
        "update/n": 4.0,
        "update/bits": 4.25,
        "update/lost": 2.0,
        "update/gained": 1.0,
        "update/nfr": 0.5,
        "update/pfr": 0.25,
        "update/bytes": 120000.0,
    }
    assert costs[3] == {  # against version 1, its parent
        "update/score_before": 0.75,
        "update/score_after": 1.0,
        "update/n": 4.0,
        "update/sparsity": 0.5,
        "update/lost": 0.0,
        "update/gained": 1.0,
        "update/nfr": 0.0,
        "update/pfr": 0.25,
    }
    assert parse_result({"result": json.loads(json.dumps(MADE.as_json()))}) == MADE


def test_where_no_task_was_learnt_all_count() -> None:
    made = result("+++++", "++++-", "+++--", updates=(Compress(bits=8), Compress(bits=4)))
    costs = made.protocols["task-id"].versions[1].update
    assert (costs["update/n"], costs["update/lost"]) == (5.0, 1.0)
    assert costs["update/score_before"] == pytest.approx((1 + 1) / 2)
    assert costs["update/score_after"] == pytest.approx((1 + 0) / 2)


def test_of_graded_scores_any_fall_is_a_loss() -> None:
    made = [
        row
        for version, scores in enumerate([[0.1, 0.1], [0.9, 0.5], [0.5, 0.6]])
        for row in graded(scores, version=version, task="one")
    ]
    outline = StreamOutline({"one": "generation"}, ["task-id"], UPDATES[:2])
    found = compute_result(outline, table(made), [{}] * 3).protocols["task-id"].last.update
    assert (found["update/lost"], found["update/gained"], found["update/nfr"]) == (1.0, 1.0, 0.5)


@pytest.mark.parametrize(
    "updates", [(), (Learn(task="one"), Learn(task="two")), (Adopt(release="v1"), Adopt(release="v2"))]
)
def test_streams_of_tasks_and_of_releases_have_no_such_table(updates: tuple[Update, ...]) -> None:
    made = result("----+", "+++-+", "+--++", updates=updates)
    assert not any(version.update for version in made.protocols["task-id"].versions)
    assert update_rows([made], "task-id") == []


def test_seeds_are_averaged() -> None:
    other = result("----+", "++--+", "++--+", "----+")
    found = update_rows([MADE, other], "task-id")
    assert [row.words for row in found] == [
        ("1", "one", "learn", "0 pre-trained"),
        ("2", "4 bits", "compress", "1 one"),
        ("3", "50 % zeros", "compress", "1 one"),
    ]
    assert found[1].numbers["update/lost"].mean == 1.0
    assert found[1].cell("update/lost", 2) == "1 ± 1"
    assert found[1].cell("update/score_before", 2) == "62.5 ± 12.5"
    assert found[1].cell("update/bytes", 3) == "120,000 ± 0 (2 of 3 seeds)"
    assert found[0].cell("update/nfr", 2) == "\N{EN DASH}"
    names = [name for name in UPDATE_COSTS if not name.startswith("forget/")]
    assert update_columns(found) == names
    assert update_columns(found[:2]) == [name for name in names if name != "update/sparsity"]
    assert update_rows([MADE, result("+++++", "+++++", updates=UPDATES[:1])], "task-id") == []
    assert update_rows([MADE], "union") == []


def test_the_terminal_gets_the_table_as_text() -> None:
    headings, cells = terminal_table([MADE], "task-id")
    assert headings[:8] == ["Version", "Update", "Kind", "From", "before", "after", "NFR", "PFR"]
    assert cells[0] == ("2", "4 bits", "compress", "1 one", "75.0", "50.0", "50.0", "25.0", "2", "1", "4.25",
                        "120,000", "\N{EN DASH}")  # fmt: skip
    assert terminal_table([MADE], "union") == ([], [])


def test_numbers_are_written_in_their_own_unit() -> None:
    assert [update_number(f"update/{name}", 0.125) for name in ("nfr", "bits", "lost")] == ["12.5", "0.125", "0.1"]
    assert update_number("update/bytes", 1234567.0) == "1,234,567"


def test_the_leaderboard_shows_the_table_and_the_branch() -> None:
    cell = LoggedCell(
        run_id="r", key="r", stream="s", learner="l", strategy="rtn", label="rtn <b>", seed="0", split="test",
        status="FINISHED", started=1, result=MADE,
    )  # fmt: skip
    board = make_board([cell, replace(cell, run_id="q", key="q", seed="1")], "e", datetime.now(UTC))
    page = stream_page(board.sections[0], {}).html
    assert Tags(page).open == []
    assert "What each update cost: rtn &lt;b&gt;" in page
    assert "3 50 % zeros (from 1)" in page
    assert "120,000 ± 0" in re.sub(r"<[^>]+>", "", page)
    text = to_markdown(board)
    assert "What each update cost: rtn &lt;b&gt;" in text
    assert "| 2 | 4 bits | compress | 1 one | 75.0 ± 0.0 | 50.0 ± 0.0 |" in text
    standing = json.loads(to_json(board))["sections"][0]["standings"][0]["results"]["task-id"]
    assert standing["updates"][2] == {"compress": {"sparsity": 0.5}, "parent": "one"}
    assert standing["update_costs"][1]["numbers"]["update/nfr"] == {"mean": 0.5, "standard_error": 0.0, "n": 2}
