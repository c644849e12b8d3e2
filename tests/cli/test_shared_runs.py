"""From a real run to an export that verifies, and the power of its stream."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.command import Command

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"),  # MLflow's own
]


def test_a_run_is_exported_verified_and_has_its_power_told(
    write_suite: Callable[..., str], tmp_path: Path, clbench: Command
) -> None:
    runs, to = tmp_path / "runs", tmp_path / "to"
    suite = write_suite("zero-shot", "finetune", seeds=[0, 1, 2])
    assert clbench("run", suite, "--out", runs, "--workers", 1).returncode == 0
    done = clbench("export", "suite", "--out", runs, "--to", to)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"export: {to}: 6 cells, verified\n"
    assert "torch" in json.loads(next(to.glob("*/environment.json")).read_text())["packages"]
    for path in (path for pattern in ("*.json", "*.md") for path in to.rglob(pattern)):
        assert str(tmp_path.parent) not in path.read_text()
    for folder in (to, runs / "suite", runs):
        done = clbench("verify", folder)
        assert done.returncode == 0
        assert done.stdout.startswith("6 cells verified, 0 problems")
    answer = json.loads(clbench("power", to, "--json").stdout)
    (stream,) = answer["streams"]
    assert (stream["methods"], stream["runs"], stream["samples"]) == (2, 3, 45)
    assert stream["numbers"]["last"]["visible"] > 0
    board = tmp_path / "board"
    assert clbench("report", "--from", to, "--from", runs, "--out", board).returncode == 0
    damaged = next(to.glob("*finetune*seed1*/ledger.parquet"))
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    done = clbench("report", "--from", to, "--out", board)
    assert done.returncode == 2
    assert done.stderr.startswith(f"refused: {to}: ")
    assert damaged.parent.name in done.stderr
    table = json.loads((board / "leaderboard" / "leaderboard.json").read_text())
    failed = [cell for section in table["sections"] for row in section["standings"] for cell in row["failed"]]
    assert [cell["error"] for cell in failed] == ["does not verify (clbench verify says why)"]
    assert (board / "leaderboard" / "index.html").is_file(), "the rest of the report is written"
