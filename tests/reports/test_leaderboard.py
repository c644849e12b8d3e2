"""The files of the whole leaderboard, made from a real MLflow store."""

import csv
import io
import json
import math
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.reports.conftest import HOSTILE, Store

from clbench.core.errors import ClbenchError
from clbench.reports.estimates import Estimate
from clbench.reports.headings import NO_NUMBER, percent
from clbench.reports.leaderboard.board import make_board
from clbench.reports.leaderboard.collect import collect
from clbench.reports.leaderboard.columns import columns, read_docstring
from clbench.reports.leaderboard.tables import to_csv, to_json, to_markdown
from clbench.reports.leaderboard.text import csv_text, markdown, plain, with_error
from clbench.reports.site.overview_page import overview_page
from clbench.reports.site.site_writer import write_leaderboard


@pytest.fixture(scope="module")
def folder(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("board") / "deep" / "site"
    assert write_leaderboard(store.uri, "clbench", out) == out / "index.html"
    return out


def test_json_has_null_and_every_run(folder: Path) -> None:
    value: dict[str, Any] = json.loads((folder / "leaderboard.json").read_text("utf-8"), parse_constant=pytest.fail)
    first = value["sections"][0]
    assert [section["split"] for section in value["sections"]] == ["test", "test", "validation"]
    assert [standing["label"] for standing in first["standings"]][:4] == [
        "codyra rank=16",
        "lora rank=4",
        "finetune",
        HOSTILE,
    ]
    assert len(first["standings"][0]["finished"]) == 3
    text = value["sections"][1]["standings"][0]["results"]["task-id"]
    assert text["metrics"]["fwt.gem"] is None
    assert "was not measured" in text["undefined"]["fwt.gem"]
    assert text["matrix"][0] == [None, None, None]
    assert value["metrics"]["bwt.gem"]["direction"] == "higher"


def test_json_is_strict_whatever_the_store_holds(store: Store) -> None:
    board = make_board(collect(store.uri, "clbench"), "clbench", datetime.now(UTC))
    standing = replace(board.sections[0].standings[0], cost={"cost/train_seconds": Estimate(math.nan, None, 3)})
    odd = replace(board, sections=(replace(board.sections[0], standings=(standing,)),))
    value = json.loads(to_json(odd), parse_constant=pytest.fail)
    cost = value["sections"][0]["standings"][0]["cost"]["cost/train_seconds"]
    assert cost == {"mean": None, "n": 3, "undefined": {"mean": "NaN"}}


def test_csv_has_every_digit_and_no_formula(folder: Path) -> None:
    rows = list(csv.DictReader(io.StringIO((folder / "leaderboard.csv").read_text("utf-8"))))
    json_text = json.loads((folder / "leaderboard.json").read_text("utf-8"))
    best = json_text["sections"][0]["standings"][0]["results"]["task-id"]["metrics"]["average_accuracy"]
    assert float(rows[0]["average_accuracy"]) == best["mean"]
    assert float(rows[0]["average_accuracy standard error"]) == best["standard_error"]
    assert {row["split"] for row in rows} == {"test", "validation"}
    failed = next(row for row in rows if row["strategy"] == "lwf")
    assert (failed["seeds"], failed["without_result"], failed["average_accuracy"]) == ("0", "1", "")
    assert failed["errors"].startswith("seed 0: ")


def test_markdown_keeps_its_tables_whole(folder: Path) -> None:
    text = (folder / "leaderboard.md").read_text("utf-8")
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in tables} == {10}
    assert "<script" not in text
    assert "## Tuning (validation split): clip-mini, clip-tiny" in text


def test_a_disk_that_refuses_leaves_the_old_page(store: Store, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("old")
    (tmp_path / "leaderboard.json").mkdir()
    with pytest.raises(ClbenchError, match=r"leaderboard\.json: cannot be written"):
        write_leaderboard(store.uri, "clbench", tmp_path)
    assert (tmp_path / "index.html").read_text() == "old"
    assert not list(tmp_path.rglob("*.part"))


def test_an_empty_board_is_still_a_page() -> None:
    board = make_board([], "clbench", datetime(2026, 1, 1, tzinfo=UTC))
    for made in (overview_page(board, ()).html, to_markdown(board), to_csv(board), to_json(board)):
        assert made.endswith("\n")


@pytest.mark.parametrize("start", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r\n=1", " =1", "\uff1d1", "\u202e=1"])
def test_no_text_starts_a_formula(start: str) -> None:
    assert csv_text(start).startswith("'")
    assert "\n" not in csv_text(start)


def test_markdown_shows_text_as_it_is() -> None:
    assert markdown("a|b\n<b>_x_</b> [l](u) `c` ${1}$") == r"a\|b &lt;b&gt;\_x\_&lt;/b&gt; \[l\]\(u\) \`c\` \${1}\$"


def test_control_and_bidirectional_characters_are_dropped() -> None:
    assert plain("a\x00b\u202ec\n d") == "a b c d"


def test_numbers_as_text() -> None:
    assert [percent(x) for x in (0.1234, -0.0001, 1.0, float("nan"))] == ["12.3", "0.0", "100.0", NO_NUMBER]
    assert with_error(Estimate(0.5, None, 1), 1) == "50.0"
    assert with_error(Estimate(0.5, 0.012, 2), 3) == "50.0 ± 1.2 (2 of 3 seeds)"
    assert with_error(None, 3) == NO_NUMBER


def test_every_metric_says_formula_unit_direction_and_source() -> None:
    for column in columns():
        assert set(column.facts) >= {"Formula", "Unit", "Direction", "Source"}, column.name
        assert column.facts["Direction"].startswith(f"{column.direction} is better"), column.name
        assert column.summary.endswith("."), column.name
        assert "Args" not in " ".join(column.remarks)


def test_a_docstring_without_facts_is_no_obstacle() -> None:
    assert read_docstring("") == ("", {}, ())
    assert read_docstring("One line.") == ("One line.", {}, ())
    assert read_docstring("First.\n\nFormula: a\n    b\nUnit: c\n\nMore\nof it.\n\nArgs:\n    x: y.") == (
        "First.",
        {"Formula": "a b", "Unit": "c"},
        ("More of it.",),
    )
