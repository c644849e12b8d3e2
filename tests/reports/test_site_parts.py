"""What the site is made of: calibration, examples of flips, folders of runs, ranks, plots, formats, the cache."""

import csv
import json
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.reports.flips.ledgers import graded, rows, table
from tests.reports.run_folders import random_answers, write_cell
from torchmetrics.functional.classification import binary_calibration_error

from clbench.benchmarks.performance.report import MadeUpCells
from clbench.core.errors import DataError
from clbench.reports.leaderboard.aggregate import aggregate
from clbench.reports.leaderboard.logged_cell import LoggedCell
from clbench.reports.leaderboard.run_folders import RunFolders
from clbench.reports.site.calibration_error import calibration_error, calibration_of
from clbench.reports.site.flip_examples import SHOWN, flips_of_updates
from clbench.reports.site.over_streams import over_streams
from clbench.reports.site.rank_plot import difference_plot, rank_diagram
from clbench.reports.site.repeat_command import ALL_RUN, ENTRIES_RUN, repeat_command
from clbench.reports.site.section_tables import difference_table, lacking_text, number_cell, strategy_table
from clbench.reports.site.seed_ranking import SeedDifference, half_width, rank_by_seeds
from clbench.reports.site.site_table import Cell, Column, Table
from clbench.reports.site.site_writer import write_site
from clbench.reports.site.svg_plot import Axis, Line, Point, curves, front, scatter
from clbench.reports.site.table_formats import latex, to_csv, to_json, to_latex, to_markdown
from clbench.reports.site.table_html import map_html, table_html

CELL = LoggedCell("r", "k", "s", "l", "lora", "lora rank=4 lr=0.0005", "1", "test", "FINISHED", 1, suite="quick")
HIGHER, LOWER = Axis("up", True), Axis("across", False)


def test_calibration_by_hand() -> None:
    """Two bins: 0.9 with three of four right, 0.5 with both wrong: 4/6 * 0.15 + 2/6 * 0.5."""
    confidence = np.array([0.9, 0.9, 0.9, 0.9, 0.5, 0.5])
    right = np.array([True, True, True, False, False, False])
    assert calibration_error(confidence, right) == pytest.approx((4 * 0.15 + 2 * 0.5) / 6)


@given(st.lists(st.tuples(st.floats(0.5, 0.9999), st.booleans()), min_size=1, max_size=60))
def test_calibration_is_that_of_torchmetrics(answers: list[tuple[float, bool]]) -> None:
    """Their binary error takes the probability of class 1 as confidence and the target as right."""
    confidence, right = (np.array(column) for column in zip(*answers, strict=True))
    edges = confidence * 15
    if np.abs(edges - np.round(edges)).min() < 1e-4:  # on the edge of a bin the two round differently
        return
    theirs = binary_calibration_error(torch.tensor(confidence), torch.tensor(right.astype(int)), n_bins=15)
    assert calibration_error(confidence, right) == pytest.approx(float(theirs), abs=1e-5)


def test_calibration_needs_a_confidence() -> None:
    made = table([*rows(["a"], ["a"], version=1), *graded([0.5], version=1, task="x")])
    assert set(calibration_of(made, 1)) <= {"task-id"}
    assert calibration_of(made, 5) == {}


def test_examples_are_the_answers_that_an_update_broke() -> None:
    before = rows(["a", "a", "b", "a"], ["a"] * 4, version=0, task="t")
    after = rows(["a", "b", "b", "c"], ["a"] * 4, version=1, task="t")
    for row, sure in zip(after, (0.1, 0.3, 0.9, 0.8), strict=True):
        row["confidence"] = sure
    found = flips_of_updates(table(before + after), "task-id", (0,))
    assert found[1].lost == 2
    assert [example.after.split(" ")[0] for example in found[1].examples] == ["c", "b"]  # the surer one first
    assert {example.target for example in found[1].examples} == {"a"}
    assert all(example.before.startswith("a") for example in found[1].examples)


def test_examples_come_from_several_tasks() -> None:
    made = []
    for task in ("one", "two", "three"):
        made += rows(["a"] * 10, ["a"] * 10, version=0, task=task)
        made += rows(["b"] * 10, ["a"] * 10, version=1, task=task)
    found = flips_of_updates(table(made), "task-id", (0,))[1]
    assert found.lost == 30
    assert len(found.examples) == SHOWN
    assert sorted(example.task for example in found.examples) == sorted(["one", "two", "three"] * 2)


def test_graded_answers_that_fell_are_examples() -> None:
    made = table([*graded([0.9, 0.5, 0.2], version=0), *graded([0.1, 0.6, 0.1], version=1)])
    protocol = made["protocol"][0].as_py()
    found = flips_of_updates(made, protocol, (0,))[1]
    assert found.lost == 2
    assert found.examples[0].before.endswith("(0.90)")
    assert found.examples[0].after.endswith("(0.10)")


def test_an_update_is_compared_with_its_parent() -> None:
    made = [*rows(["a"], ["a"], version=0), *rows(["b"], ["a"], version=1), *rows(["b"], ["a"], version=2)]
    assert flips_of_updates(table(made), "task-id", (0, 1))[2].lost == 0
    assert flips_of_updates(table(made), "task-id", (0, 0))[2].lost == 1
    assert flips_of_updates(table(made), "other", (0,)) == {}


def test_the_best_is_shown_where_paired_tests_show_it() -> None:
    seeds = {"0": 0.0, "1": 0.01, "2": 0.03}
    one, two = ({seed: start + x for seed, x in seeds.items()} for start in (0.9, 0.5))
    three = {"0": 0.51, "1": 0.499, "2": 0.532}
    found = rank_by_seeds({"one": {**one, "1": 0.911}, "two": two, "three": three}, higher_is_better=True)
    assert found is not None
    assert found.best == "one"
    assert (found.pairs, found.tested, found.told_apart) == (3, 3, 2)
    assert found.intervals == {"one": (1, 1), "two": (2, 3), "three": (2, 3)}
    lower = rank_by_seeds({"one": {**one, "1": 0.911}, "two": two, "three": three}, higher_is_better=False)
    assert lower is not None
    assert lower.best is None
    assert lower.intervals["one"] == (3, 3)


def test_the_visible_difference_is_that_of_a_typical_pair() -> None:
    """Three seeds have lambda(2) = 5.65; differences of 1, 2, 3 a spread of 1, of 0, 0, 3 one of sqrt(3)."""
    numbers = {"one": {"0": 1.0, "1": 2.0, "2": 3.0}, "two": dict.fromkeys("012", 0.0)}
    found = rank_by_seeds(numbers, higher_is_better=True)
    assert found is not None
    assert found.visible == pytest.approx(5.65 / 3**0.5, rel=1e-3)
    found = rank_by_seeds({**numbers, "three": {"0": 0.0, "1": 0.0, "2": 3.0}}, higher_is_better=True)
    assert found is not None  # pairs of spreads 1, sqrt(3) and, by 1, 2, 0, 1
    assert found.visible == pytest.approx(5.65 / 3**0.5 * ((1 + 3 + 1) / 3) ** 0.5, rel=1e-3)


def test_single_seeds_and_single_strategies_are_not_ranked_apart() -> None:
    assert rank_by_seeds({"one": {"0": 1.0}}, higher_is_better=True) is None
    for seed in ("0", "1"):  # with and without a seed in common
        found = rank_by_seeds({"one": {"0": 1.0}, "two": {seed: 0.0}}, higher_is_better=True)
        assert found is not None
        assert found.best is None
        assert found.intervals == {"one": (1, 2), "two": (1, 2)}


def test_differences_are_taken_within_a_seed() -> None:
    """Differences of 0.1, 0.2 and 0.3: mean 0.2, half of the interval t(0.975, 2) 0.1 / sqrt(3), p of t = 2 sqrt(3)."""
    one, two = {"0": 0.9, "1": 0.8, "2": 0.9}, {"0": 0.8, "1": 0.6, "2": 0.6, "3": 0.0}
    found = rank_by_seeds({"two": two, "one": one}, higher_is_better=True)
    assert found is not None
    assert found.order == ("one", "two")
    less = found.differences["two"]
    assert less.points == pytest.approx({"0": -0.1, "1": -0.2, "2": -0.3})
    assert (less.mean, less.half_width) == pytest.approx((-0.2, 4.302652729696142 * 0.1 / 3**0.5))
    assert (found.pairs, found.tested, found.told_apart) == (1, 1, 0)
    assert less.p == pytest.approx(0.0741799)  # 1 - t / sqrt(t^2 + 2) for two degrees of freedom
    drawn = difference_plot({"two": less, "<b>": SeedDifference({"<i>": 0.1}, 0.1, None, None)})
    assert drawn.count("<circle") == 4
    assert "two, seed 1: -20.0" in drawn
    assert "<b>" not in drawn
    assert "<i>" not in drawn


def test_a_diagram_joins_what_is_not_told_apart() -> None:
    drawn = rank_diagram({"a": 1.2, "b": 1.8, "<c>": 3.0}, [("a", "b")])
    assert drawn.count('class="tie"') == 1
    assert "Mean ranks: a 1.20, b 1.80, &lt;c&gt; 3.00" in drawn


def test_half_of_an_interval_is_students() -> None:
    from clbench.reports.estimates import estimate

    width = half_width(estimate([0.1, 0.2, 0.3]))
    assert width == pytest.approx(4.302652729696142 * 0.1 / 3**0.5)  # t(0.975, 2), printed in every table
    assert half_width(estimate([0.1])) is None
    cell = number_cell("bwt.gem", estimate([0.1, 0.2]), 3)
    assert cell.whole == "15.0 (2 of 3 seeds) ± 63.5"  # t(0.975, 1) = 12.7062


def test_the_front_by_hand() -> None:
    points = [Point(x, y, "", f"{x},{y}", "#") for x, y in ((1, 1), (2, 3), (3, 2), (3, 3), (5, 4), (1, 0.5))]
    assert [p.title for p in front(points, LOWER, HIGHER)] == ["1,1", "2,3", "5,4"]
    assert [p.title for p in front(points, HIGHER, HIGHER)] == ["5,4"]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_every_point_is_on_the_front_or_beaten(places: list[tuple[int, int]]) -> None:
    points = [Point(x, y, str(number), "", "#") for number, (x, y) in enumerate(places)]
    best = front(points, LOWER, HIGHER)
    for p in points:
        beaten = any(q.x <= p.x and q.y >= p.y and (q.x, q.y) != (p.x, p.y) for q in points)
        assert (p in best) != beaten


def test_plots_of_odd_numbers_are_drawn() -> None:
    same = [Point(0.0, 0.0, "1", '<a href="x">', "#"), Point(0.0, 0.0, "2", "b", "#", reach=0.0)]
    for made in (scatter(same, LOWER, HIGHER), curves([Line("<b>", [(0.0, 0.5)])], "t")):
        assert "nan" not in made
        assert "<b>" not in made
        assert '<a href="x">' not in made
    assert "1e-07" in scatter([Point(0.0, 1e-7, "1", "", "#"), Point(0.0, 2e-7, "2", "", "#")], LOWER, HIGHER)


def test_a_table_in_every_format() -> None:
    columns = [Column("name", "Name", is_text=True), Column("x", "X & Y", "higher")]
    cells = [
        [Cell("a|b_<script>"), Cell("50.0", 0.5, "1.0", 0.01, 3, (1, 2), "best")],
        [Cell("=1+1\n\u202e"), Cell("\N{EN DASH}")],
    ]
    made = Table("t", "A_title", columns, cells)
    assert list(csv.reader(to_csv(made).splitlines())) == [
        ["name", "x", "x half width", "x n", "x lowest rank", "x highest rank"],
        ["a|b_<script>", "0.5", "0.01", "3", "1", "2"],
        ["'=1+1", "", "", "", "", ""],
    ]
    assert r"| a\|b\_&lt;script&gt; | **50.0 ± 1.0 \(rank 1 to 2\)** |" in to_markdown("T", [made])
    text = to_latex("T%\n\\input{x}", [made])
    assert r"a\textbar{}b\_\textless{}script\textgreater{} & \textbf{50.0 $\pm$ 1.0 (rank 1 to 2)} \\" in text
    assert r"Name & X \& Y $\uparrow$ \\" in text
    assert text.startswith("% T% \\input{x}\n")
    assert "\\caption{T\\% \\textbackslash{}input\\{x\\}: A\\_title}\n\\label{tab:t-input-x-t}" in text
    negative = Table("t", "t", columns, [[Cell("a-1"), Cell("-5.0", -0.05, "1.0", 0.01, 3)]])
    assert r"a-1 & $-$5.0 $\pm$ 1.0 \\" in to_latex("T", [negative])
    found = json.loads(to_json("T", [made]))["tables"][0]
    assert found["rows"][0][1] == {"value": 0.5, "half_width": 0.01, "n": 3, "rank": [1, 2], "best": True}
    assert found["rows"][1][1] is None
    html = table_html(made)
    assert "<script" not in html
    assert "\u202e" not in html


@given(st.text())
def test_no_text_is_a_command_of_latex(text: str) -> None:
    printed = latex(text)
    for command in ("textbackslash{}", "textasciitilde{}", "textasciicircum{}", "textless{}", "textgreater{}"):
        printed = printed.replace(f"\\{command}", "")
    for command in ("textbar{}", "textquotedbl{}", "$\\pm$", "$\\times$", "$\\uparrow$", "$\\downarrow$"):
        printed = printed.replace(f"\\{command}" if command[0] == "t" else command, "")
    for character in "{}$&%#_":
        printed = printed.replace(f"\\{character}", "")
    assert not set(printed) & set("\\{}$&%#_~^")


@given(st.text())
def test_no_text_is_markup(text: str) -> None:
    made = Table(
        "t", text, [Column("a", text, is_text=True), Column(text, text, tip=text)],
        [[Cell(text), Cell(text, tip=text, link="#")]], text,
    )  # fmt: skip
    heat = replace(made, is_map=True)
    harmless = Table(
        "t", "x", [Column("a", "x", is_text=True), Column("x", "x", tip="x")],
        [[Cell("x"), Cell("x", tip="x", link="#")]], "x",
    )  # fmt: skip
    for write, page in ((table_html, made), (map_html, heat)):
        marks = [write(page).count(mark) for mark in '<>"']
        plain = [write(harmless if write is table_html else replace(harmless, is_map=True)).count(m) for m in '<>"']
        if text.split() and all(c.isprintable() for c in text):
            assert marks == plain


def test_the_command_repeats_the_cell() -> None:
    settings: dict[str, Any] = {
        "strategy": {"settings": {"rank": 4, "lr": 0.0005, "other": 1}},
        "budget": {"steps": 50, "batch_size": 32, "micro_batch": None},
    }
    assert repeat_command(CELL, settings) == (
        (
            "clbench run quick --streams s --learners l --strategies lora --seeds 1 --set lora.rank=4 "
            "--set lora.lr=0.0005 --set budget.steps=50 --set budget.batch_size=32"
        ),
        ENTRIES_RUN,
    )
    mixed = replace(CELL, label="lora + quantize", split="validation")
    assert repeat_command(mixed, {}) == (
        "clbench run quick --streams s --learners l --seeds 1 --set split=validation",
        ALL_RUN,
    )
    hostile = replace(CELL, suite="$(rm -rf ~)", stream="a; b\n`c`", label="lora")
    assert repeat_command(hostile, {})[0].startswith("clbench run '$(rm -rf ~)' --streams 'a; b `c`' ")


def test_the_command_that_repeats_a_cell_with_parts_gives_its_label(tmp_path: Path) -> None:
    """The command is read back by the code that runs suites: the label, and so all settings, are those of the cell."""
    from clbench.benchmarks.engine.suite import SuiteChanges, load_suite
    from clbench.core.config import parse_overrides

    def cell_of(strategy: str, changes: SuiteChanges) -> Any:
        path = tmp_path / "suite.yaml"
        path.write_text(f"streams: [clip-mini]\nstrategies: [{strategy}]\nbudget: {{steps: 1}}\n")
        return load_suite(str(path), changes).cells[0]

    for entry in (
        "{name: finetune, memory: {name: random, size: 100, share: 0.25}}",
        "{name: finetune, lr: 0.00012345678, edit: {name: lines, a: 0.5}, optimizer: muon}",
        "{name: finetune, edit: [{name: lines, order: uniform}, wise-ft]}",
    ):
        made = cell_of(entry, SuiteChanges())
        logged = replace(CELL, strategy="finetune", label=made.label)
        settings = {"strategy": {"settings": made.config.model_dump(mode="json")}}
        command, besides = repeat_command(logged, settings)
        words = shlex.split(command)
        changed = parse_overrides([words[at + 1] for at, word in enumerate(words) if word == "--set"])
        again = cell_of("finetune", SuiteChanges(overrides=changed))
        assert (again.label, again.config) == (made.label, made.config)
        assert besides == ENTRIES_RUN


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs")
    MadeUpCells(streams=1, strategies=2, seeds=2, rows=1100).write(out)
    return out


def test_folders_of_all_levels_are_read(runs: Path) -> None:
    whole = RunFolders([runs])
    assert len(whole.cells) == len(RunFolders([runs / "made-up"]).cells) == 4
    cell = next((runs / "made-up").iterdir())
    assert len(RunFolders([cell, cell]).cells) == 1
    first = whole.read(whole.cells[0])
    assert (first.stream, first.learner, first.label, first.suite) == ("stream-0", "model", "strategy-0", "made-up")
    assert first.budget == "100 steps of 32 a task"
    assert first.finished


def test_what_is_no_folder_of_runs_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="missing: no such folder"):
        RunFolders([tmp_path / "missing"])
    with pytest.raises(DataError, match=r"no folder of a cell \(cell\.json\) is in there"):
        RunFolders([tmp_path])


def test_half_written_cells_are_rows_that_say_so(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    shutil.copytree(runs, out)
    folders = sorted((out / "made-up").iterdir())
    (folders[0] / "result.json").unlink()
    (folders[1] / "result.json").write_text('{"status": "failed", "error": "the loss is nan\\nat line 3"}')
    (folders[2] / "result.json").write_text('{"status": "finished", "result": {"schema": 9}}')
    (folders[3] / "cell.json").write_text("{")
    found = RunFolders([out])
    cells = {cell.run_id: found.read(cell) for cell in found.cells}
    assert cells[folders[0].name].error == "not finished: 0 versions are there"
    assert cells[folders[1].name].error == "the loss is nan"
    assert "schema" in (cells[folders[2].name].error or "")
    assert str(out) not in "".join(cell.error or "" for cell in cells.values())
    (problem,) = found.problems
    assert problem.startswith(f"{folders[3].name}: cell.json: cannot be read as JSON")
    page = write_site(found, out / "site").read_text()
    assert "Not shown: stream-0" in page


def test_only_what_changed_is_made_again(runs: Path, tmp_path: Path) -> None:
    out, site = tmp_path / "runs", tmp_path / "site"
    shutil.copytree(runs, out)

    def written() -> dict[str, int]:
        write_site(RunFolders([out]), site)
        return {path.relative_to(site).as_posix(): path.stat().st_mtime_ns for path in site.rglob("*.html")}

    first = written()
    assert len(first) == 2 + 1 + 4
    assert written() == first
    folder = next((out / "made-up").glob("*strategy-1--seed1"))
    moved = folder.with_name("x")
    folder.rename(moved)
    settings = (moved / "cell.json").read_text()
    (moved / "cell.json").write_text(settings.replace('"seed": 1', '"seed": 7').replace("seed 1", "seed 7"))
    second = written()
    assert {name for name in first if name not in second} == {n for n in first if "strategy-1--seed1" in n}
    changed = {name for name in second if second[name] != first.get(name)}
    assert {name.split("/")[0].split("-")[0] for name in changed} == {"index.html", "streams", "cells"}
    assert sum(name.startswith("cells/") for name in changed) == 1
    assert not list(site.glob("cells/*strategy-1--seed1*"))
    kept = next(path for path in site.glob("cells/*strategy-0--seed0*.html"))
    kept.unlink()
    assert {name for name, time in written().items() if time != second[name]} == {f"cells/{kept.name}"}
    (site / ".cache" / "pages.json").write_text("{")
    assert set(written()) == set(second)


def test_a_site_is_the_same_from_folders_however_often_it_is_written(runs: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_site(RunFolders([runs]), tmp_path / name)
    one, two = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name / "cells").iterdir()}
        for name in ("a", "b")
    )
    assert one == two


def test_strategies_are_compared_over_streams(runs: Path, tmp_path: Path) -> None:
    """All streams have the same answers here, so ranks are equal on each, and means are those of one stream."""
    sections = []
    for number in range(9):
        found = RunFolders([runs])
        cells = [replace(found.read(cell), stream=f"stream {number}") for cell in found.cells]
        sections += aggregate(cells)
    assert over_streams(sections[:1]) is None
    few = over_streams(sections[:2])
    assert few is not None
    assert few[1] is None
    assert few[2].startswith("2 streams and 2 strategies: the smallest p")
    assert "is 0.5, so no diagram" in few[2]
    table_of, diagram, told = over_streams(sections) or (None, None, "")
    assert table_of is not None
    assert diagram is not None
    assert "is 0.0039" in told
    assert [row[3].text for row in table_of.rows] == ["1.00", "2.00"]
    first = sections[0].standings[0].results["task-id"]
    values = sorted(value for value in first.by_seed["average_accuracy"].values() for _ in range(9))
    assert table_of.rows[0][1].value == pytest.approx(np.mean(values[4:14]))  # 18 runs without 4 at either end
    assert table_of.rows[0][0].text == sections[0].standings[0].label


def test_streams_of_single_seeds_have_no_differences(runs: Path) -> None:
    found = RunFolders([runs])
    cells = [found.read(cell) for cell in found.cells]
    (section,) = aggregate(cells)
    assert difference_table(section, "task-id", 1) is not None
    (single,) = aggregate([cell for cell in cells if cell.seed == "0"])
    assert difference_table(single, "task-id", 1) is None


def test_ranks_are_shown_for_several_seeds(runs: Path) -> None:
    found = RunFolders([runs])
    (section,) = aggregate([found.read(cell) for cell in found.cells])
    shown = strategy_table(section, "task-id", {}, 1)
    assert [column.key for column in shown.columns[:5]] == ["strategy", "average_accuracy", "place", "ranks", "seeds"]
    assert {row[3].text for row in shown.rows} <= {"1", "2", "1 to 2"}
    assert all(row[1].half_width for row in shown.rows)
    assert re.match("[01] of 1 pairs (is|are) told apart by Last", shown.note)


def test_passes_stand_beside_the_scores(tmp_path: Path) -> None:
    write_cell(tmp_path, random_answers(0), "finetune")
    found = RunFolders([tmp_path])
    (section,) = aggregate([found.read(cell) for cell in found.cells])
    shown = strategy_table(section, section.protocols[0], {}, 1)
    headings = {column.heading: at for at, column in enumerate(shown.columns)}
    for heading, total in (("Passes with gradient", "128"), ("Passes without gradient", "40")):  # of four versions
        assert {row[headings[heading]].text for row in shown.rows} == {total}


def test_each_protocol_has_its_own_order(runs: Path) -> None:
    """A second protocol in which the scores are those of the other strategy: the places are the other way round."""
    found = RunFolders([runs])
    (section,) = aggregate([found.read(cell) for cell in found.cells])
    one, two = section.standings
    swapped = (
        replace(one, results={**one.results, "union": two.results["task-id"]}),
        replace(two, results={**two.results, "union": one.results["task-id"]}),
    )
    section = replace(section, protocols=("task-id", "union"), standings=swapped)
    tables = [strategy_table(section, protocol, {}, at) for at, protocol in enumerate(section.protocols, start=1)]
    assert [[row[0].text for row in table.rows] for table in tables] == [[one.label, two.label], [two.label, one.label]]
    for shown in tables:
        assert [row[2].text for row in shown.rows] == ["1", "2"]
        assert shown.rows[0][1].value > shown.rows[1][1].value  # type: ignore[operator]


def test_what_has_no_result_is_counted_by_its_cause(runs: Path) -> None:
    found = RunFolders([runs])
    one, two, *others = (found.read(cell) for cell in found.cells)
    broken = replace(one, result=None, status="FAILED", error="the loss is nan")
    (section,) = aggregate([broken, *others])
    assert lacking_text(section.standings) == "1 unfinished, 1 not run"
    (whole,) = aggregate([one, two, *others])
    assert lacking_text(whole.standings) == ""
