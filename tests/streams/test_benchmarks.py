"""The suites of MTIL and X-TAIL on made-up roots: forecast, run, and what a user sees of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from clbench.benchmarks.engine.suite import SuiteChanges, load_suite
from clbench.cli.main import main
from clbench.contracts import Task
from clbench.core.errors import DataError
from clbench.streams.card import load_stream

SUITES = {"mtil": ("torchvision", 12), "mtil-5shot": ("torchvision", 12), "xtail": ("coop", 12)}
"""The convention of their data, and how many strategies they list."""


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
