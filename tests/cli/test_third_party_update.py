"""A third party's strategy for another kind of update, by path and by entry point: that of docs/compression.md."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.command import Command

from clbench.spec.ledger import read_ledger

PAGE = Path(__file__).parents[2] / "docs" / "compression.md"
SIGNS = PAGE.read_text("utf-8").partition("of your own\n")[2].split("```python\n")[1].partition("```")[0]
"""The strategy as the page has it."""


@pytest.fixture
def suite(tiny: Any, tmp_path: Path) -> Callable[[str, float], str]:
    """Writes a suite on a stream whose last update compresses, and its stream; returns its path."""

    def write(strategy: str, bits: float) -> str:
        names = ("one", "two", "three")
        card = {
            "name": "tiny-signs",
            "description": "Two tasks, then one bit.",
            "loader": "based-on",
            "based_on": tiny.stream,
            "learner": tiny.learner,
            "protocols": ["task-id"],
            "order_reason": "none",
            "tasks": [{"name": name, "kind": "classification", "metric": "accuracy"} for name in names],
            "updates": [{"learn": "one"}, {"learn": "two"}, {"compress": {"bits": bits}}],
        }
        (tmp_path / "signs.yaml").write_text(yaml.safe_dump(card), "utf-8")
        entry = {"learn": "finetune", "compress": strategy}
        values = {"streams": [str(tmp_path / "signs.yaml")], "strategies": [entry], "budget": {"steps": 2}}
        (tmp_path / "suite.yaml").write_text(yaml.safe_dump(values), "utf-8")
        return str(tmp_path / "suite.yaml")

    return write


def test_by_path(clbench: Command, suite: Callable[[str, float], str], tmp_path: Path) -> None:
    (tmp_path / "signs.py").write_text(SIGNS)
    assert len(SIGNS.splitlines()) <= 32
    done = clbench("run", suite(str(tmp_path / "signs.py"), 1), "--out", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    (cell,) = json.loads(done.stdout)["cells"]
    assert cell["status"] == "finished"
    assert [update["label"] for update in cell["updates"]] == ["one", "two", "1 bit"]
    assert cell["updates"][2]["update/bits"] == 1
    ledger = read_ledger(Path(cell["folder"]) / "ledger.parquet")
    assert set(ledger["version"].to_pylist()) == {0, 1, 2, 3}


def test_a_budget_that_it_refuses_is_one_line(
    clbench: Command, suite: Callable[[str, float], str], tmp_path: Path
) -> None:
    (tmp_path / "signs.py").write_text(SIGNS)
    done = clbench("run", suite(str(tmp_path / "signs.py"), 4), "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "signs have one bit, got 4 bits" in done.stderr.splitlines()[-1]


def test_by_entry_point(suite: Callable[[str, float], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = tmp_path / "site" / "somebody-1.0.dist-info"
    metadata.mkdir(parents=True)
    (tmp_path / "site" / "signs.py").write_text(SIGNS)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: somebody\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[clbench.strategies]\nsigns = signs\n")
    paths = (str(tmp_path / "site"), os.environ.get("PYTHONPATH"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    command = [sys.executable, "-m", "clbench", "run", suite("signs", 1), "--out", str(tmp_path / "out"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["cells"][0]["status"] == "finished"
