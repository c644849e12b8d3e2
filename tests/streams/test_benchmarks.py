"""The suites of MTIL, X-TAIL and TA8 on made-up roots: forecast, run, and what a user sees of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from clbench.benchmarks.engine.suite import SuiteChanges, load_suite
from clbench.cli.main import main
from clbench.contracts import Task
from clbench.core.errors import DataError
from clbench.streams.card import load_stream

SUITES = {
    "mtil": ("torchvision", 12),
    "mtil-5shot": ("torchvision", 12),
    "xtail": ("coop", 12),
    "opcm-vit-b32": ("torchvision", 9),
    "lines-vit-b32": ("torchvision", 23),
}
"""The layout of their data, and how many strategies they list."""


@pytest.mark.parametrize("name", SUITES)
def test_the_suites_are_sound(name: str, few_shot_roots: dict[str, Path]) -> None:
    convention, strategies = SUITES[name]
    suite = load_suite(name, SuiteChanges(root=str(few_shot_roots[convention])))
    assert len(suite.cells) == len(suite.config.streams) * strategies * 3
    assert len({cell.key for cell in suite.cells}) == len(suite.cells)
    with pytest.raises(DataError, match="--root"):
        load_suite(name).cells[0].load_stream()


def test_shots_differ_by_seed_and_test_samples_do_not(few_shot_roots: dict[str, Path]) -> None:
    one, two = (load_stream("xtail", str(few_shot_roots["coop"]), seed).tasks for seed in (0, 1))

    def differ(a: Task, b: Task) -> bool:
        return a.fingerprint("train") != b.fingerprint("train")

    assert any(differ(a, b) for a, b in zip(one, two, strict=True))
    assert all(a.fingerprint("test") == b.fingerprint("test") for a, b in zip(one, two, strict=True))


def clbench(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    monkeypatch.setattr("sys.argv", ["clbench", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    printed = capsys.readouterr()
    assert caught.value.code == 0, printed.err
    return json.loads(printed.out)


def test_a_forecast_and_a_run_of_xtail(
    tiny: Any,
    few_shot_roots: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["run", "xtail", "--root", str(few_shot_roots["coop"]), "--learners", tiny.learner, "--seeds", "0"]
    arguments += ["--strategies", "zero-shot,codyra", "--set", "budget.steps=2", "--json", "--out", str(tmp_path)]
    forecast = clbench(capsys, monkeypatch, *arguments, "--dry-run")
    assert [cell["steps"] for cell in forecast["cells"]] == [0, 20, 20]  # codyra is listed twice
    sizes = {size["name"]: size for size in forecast["tasks"]["xtail"]}
    assert sizes["mnist"] == {"name": "mnist", "classes": 10, "prompts": 10, "train": 160, "test": 30}
    assert sizes["aircraft"] == {"name": "aircraft", "classes": 3, "prompts": 3, "train": 48, "test": 9}
    assert not (tmp_path / "xtail").exists()
    done = clbench(capsys, monkeypatch, *arguments)
    assert [cell["status"] for cell in done["cells"]] == ["finished"] * 3
    assert done["cells"][0]["mtil.average"] == pytest.approx(done["cells"][0]["mtil.last"])
    json_board = (tmp_path / "leaderboard" / "leaderboard.json").read_text()
    assert "xtail is not as published: aircraft: classes: wanted the published 100, got 3" in json_board
    (page,) = (path.read_text() for path in (tmp_path / "leaderboard" / "streams").glob("*.html"))
    assert "Published by others" in page
    assert str(few_shot_roots["coop"]) not in json_board


@pytest.mark.parametrize(
    ("suite", "strategies", "cells"), [("opcm-vit-b32", "opcm,magmax,finetune", 4), ("lines-vit-b32", "per-task", 2)]
)
def test_a_run_of_the_eight_sets(
    tiny: Any,
    roots: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    suite: str,
    strategies: str,
    cells: int,
) -> None:
    arguments = ["run", suite, "--root", str(roots["task-arithmetic"]), "--learners", tiny.learner, "--seeds", "1"]
    arguments += ["--strategies", strategies, "--set", "budget.steps=2", "--json", "--out", str(tmp_path)]
    done = clbench(capsys, monkeypatch, *arguments)
    assert [cell["status"] for cell in done["cells"]] == ["finished"] * cells
    json_board = (tmp_path / "leaderboard" / "leaderboard.json").read_text()
    assert "ta8 is not as published: " in json_board
    assert "gtsrb: train: wanted the published 23,976, got 19" in json_board


def test_the_ten_values_that_lines_is_searched_over() -> None:
    """Those of the released code, for task arithmetic's scale and for LiNeS's b; a is 1 / 8."""
    settings = [cell.config.model_dump(mode="json") for cell in load_suite("lines-vit-b32").cells if cell.seed == 0]
    merged = [found for found in settings if "scale" in found]
    assert [found["scale"] for found in merged if not found["edit"]] == [n / 10 for n in range(1, 11)]
    edits = [edit for found in merged for edit in found["edit"]]
    assert [edit["b"] for edit in edits] == [n / 10 for n in range(1, 11)]
    assert {(edit["name"], edit["a"], edit["anchor"]) for edit in edits} == {("lines", 0.125, "pretrained")}


def test_the_orders_of_opcm_are_drawn() -> None:
    assert [cell.order for cell in load_suite("opcm-vit-b32").cells if cell.label == "opcm"] == [0, 1, 2]
