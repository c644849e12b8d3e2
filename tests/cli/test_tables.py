"""Tables keep their numbers whole, at any width and through a pipe."""

import io
import re
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from clbench.cli.output import print_table
from clbench.core.table_layout import lay_out, printable, reflowed
from clbench.reports.flips.comparison_tables import interval, number, p_value
from clbench.reports.statistics.intervals import Interval

shares = st.floats(-1, 1)
NUMBERS = st.one_of(
    shares.map(lambda x: f"{100 * x:.1f}"),
    shares.map(number),
    st.builds(Interval, shares, shares).map(interval),
    st.floats(0, 1).map(p_value),
    st.integers(0, 10**9).map(lambda n: f"{n:,}"),
    st.builds(lambda n, m: f"{n:,} of {m:,}", st.integers(0, 10**6), st.integers(0, 10**6)),
    st.builds(lambda n, x: f"{n} ({x:.4f})", st.integers(0, 10**6), shares),
    st.floats(0, 10**6).map(lambda x: f"{x:.4g}"),
    st.floats(0, 99).map(lambda x: f"{x:.0f} min"),
    st.sampled_from(["n/a", "", "-"]),
)
WORDS = st.text("abcdefghijklmnop ()=_.[]\\:äé任务数据集分類", min_size=1, max_size=60)
LABELS = st.builds(lambda first, rest: f"{first}{rest}".strip(), st.sampled_from("xyz任[\\"), WORDS)
WORD = st.text("abcdefghijklmnop", min_size=1, max_size=12)
HEADINGS = st.lists(WORD, min_size=1, max_size=4).map(" ".join)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]]]:
    """Headings and rows: labels, up to 14 columns of numbers, and sometimes one of texts."""
    columns = draw(st.integers(1, 14))
    cells: list[Any] = [LABELS, *[NUMBERS] * columns]
    if draw(st.booleans()):
        cells[-1] = st.lists(WORD | st.floats(0, 1).map(str), max_size=12).map(" ".join)
    headings = [draw(HEADINGS) for _ in cells]
    return headings, draw(st.lists(st.tuples(*cells).map(list), min_size=1, max_size=6))


def words_of(texts: Sequence[str]) -> Counter[str]:
    """What stands between blanks and has a digit."""
    return Counter(word for text in texts for word in text.split() if re.search(r"\d", word))


@settings(max_examples=300)
@given(tables(), st.integers(60, 250) | st.none())
def test_every_number_is_whole_and_no_line_is_too_long(
    table: tuple[list[str], list[list[str]]], width: int | None
) -> None:
    headings, rows = table
    blocks = list(lay_out(headings, rows, width))
    lines = [line for _, body in blocks for line in body]
    cells = [cell for row in rows for cell in row[1:]]
    assert words_of(lines) >= words_of(cells)
    for cell in filter(None, cells):
        if len(cell) <= 24 and re.match(r"[-\d]", cell) and headings:
            assert any(re.search(rf"(?<!\S){re.escape(cell)}(?!\S)", line) for line in lines)
    for above, body in blocks:
        assert max(map(cell_len, [*above, *body])) <= (width or 10**9)
        assert above[0].split()[0].startswith(headings[0].split()[0][:4])
        for row in rows:
            assert any(line.startswith(f" {row[0].split()[0][:2]}") for line in body)
    if width is None:
        assert len(blocks) == 1
        assert len(lines) == len(rows)


class Terminal(io.StringIO):
    """Standard output that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def printed(monkeypatch: pytest.MonkeyPatch, width: int | None, *table: Any) -> str:
    """What `print_table` writes to a terminal of a width, or to a pipe, without colours."""
    out = Terminal() if width else io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width or 20))
    print_table(*table)
    return re.sub(r"\x1b\[[\d;]*m", "", out.getvalue())


MAIN = ("strategy (seed)", "Last", "Average", "Transfer", "forgetting", "BWT", "seg Dice", "cls acc", "det IoU", "")
ROW = ("head-only lr=0.0005 (0)", "49.4", "n/a", "n/a", "0.0", "-17.9", "48.9", "50.0", "35.5", "finished")


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_the_main_job_loses_nothing_in_a_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    text = printed(monkeypatch, width, "ultrasound-mini, mini-vit, in %", MAIN, [ROW])
    assert Counter(ROW[1:]) <= Counter(text.split())
    assert {"Last", "BWT"} <= set(text.split())
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    lines = text.splitlines()
    assert lines[0] == "ultrasound-mini, mini-vit, in %"
    assert max(map(len, lines)) <= width
    assert text.count("(seed)") == text.count("(0)") == text.count("\N{BOX DRAWINGS LIGHT HORIZONTAL}\n")


def test_a_pipe_gets_everything_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    label = "a label of many words " * 20 + "x" * 300
    text = printed(monkeypatch, None, "t", ("label", *["number"] * 14, "why"), [(label, *["50.0"] * 14, "so " * 200)])
    assert len(text.splitlines()) == 5  # title, headings, rule, row, an empty line
    row = text.splitlines()[3]
    assert label in row
    assert row.split()[-214:] == ["50.0"] * 14 + ["so"] * 200


@pytest.mark.parametrize("label", ["[red]x[/red]", "[/]", ":star: :warning:", "a\\[b]\\", "{x} %s", "[link=http://x]y"])
@pytest.mark.parametrize("width", [60, None])
def test_no_cell_is_taken_for_markup(monkeypatch: pytest.MonkeyPatch, label: str, width: int | None) -> None:
    text = printed(monkeypatch, width, label, (label, label), [(label, label), (label, "1")])
    assert text.count(label) == 6


def test_nothing_that_a_terminal_would_obey_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(monkeypatch, 80, "a\x1b[2Jb", ("c\rd", "e"), [("f\x1b]0;g\x07", "1\t2\u202e3")])
    assert not set(text) & set("\x1b\r\x07\t\u202e")


DOC = """First line.

A paragraph whose lines are as long as the source of these files allows, so the words that
follow go on with it. This is
a line of its own.

Formula: short
Unit: of a score, and this line, too, is filled until the very end of what the source takes
    and goes on deeper

    code(x)
    more(x)
"""


@pytest.mark.parametrize("width", [60, 80, 200])
def test_prose_is_wrapped_anew_and_short_lines_stay(width: int) -> None:
    lines = reflowed(DOC.strip(), width)
    assert max(map(len, lines)) <= width
    assert " ".join(" ".join(lines).split()) == " ".join(DOC.split())
    assert {"First line.", "a line of its own.", "Formula: short", "    code(x)", "    more(x)"} <= set(lines)
    assert sum(line == "" for line in lines) == DOC.strip().count("\n\n")
    assert any("that follow go" in line for line in lines) or width < 200


@given(
    st.text(st.characters(exclude_categories=["Cc", "Cs", "Z"]) | st.sampled_from(" \n"), max_size=300),
    st.integers(20, 200),
)
def test_prose_of_any_kind_keeps_its_words(text: str, width: int) -> None:
    lines = reflowed(text, width)
    assert max(map(cell_len, lines), default=0) <= width
    assert "".join("".join(lines).split()) == "".join(printable(text).split())


def test_the_lines_of_a_text_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    assert printed(monkeypatch, None, "", ("", ""), [("key", "one\n  two")]) == " key   one\n         two\n\n"
