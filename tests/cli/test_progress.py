"""Progress bars in narrow terminals."""

import io
import re
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from rich.cells import cell_len

from clbench.cli.progress import Bars

TITLE = "ultrasound-mini / mini-vit / codyra lr=0.0005 rank=16 :star: [red]x[/red] / seed 100"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_numbers_and_titles_are_whole(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    cell: Any = SimpleNamespace(title=TITLE)
    with Bars(14) as bars:
        for index in range(3):
            bars.on_cell_end(index)
        bars.on_cell_start(3, cell, 10)
        bars.on_step(3, "train", 1, 123456)
        bars.on_problem("[b]odd[/b] :star: thing")
        bars.refresh()
        shown = out.getvalue()
    text = re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", shown)
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    assert max(map(cell_len, re.split(r"[\r\n]+", text))) <= width
    last = text[text.rindex("suite") :]
    assert re.search(r"3/14\s.*0/10\s.*1/123456\s", last, re.DOTALL)
    assert len(re.findall(r"\d:\d\d:\d\d", last)) >= 3
    assert set(TITLE.split()) <= set(last.split())
    assert "problem: [b]odd[/b] :star: thing" in text


def test_a_pipe_gets_a_line_a_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    cell: Any = SimpleNamespace(title=TITLE)
    with Bars(14) as bars:
        bars.on_cell_start(3, cell, 10)
        bars.on_step(3, "train", 1, 123456)
    assert out.getvalue() == f"[4/14] {TITLE}\n"
