"""A stream of all kinds of images, of which a learner can be tested only on tasks that it has learnt: all outputs."""

import csv
import json
import re
from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from mlflow import MlflowClient
from tests.command import Command
from tests.scripted_images import TASKS
from tests.strategies.cut_runs import Killed, run

from clbench.benchmarks.engine.suite import load_suite
from clbench.core.errors import DataError
from clbench.spec.ledger import SCHEMA, read_ledger, write_ledger

HERE = Path(__file__).parents[1]
NAMES = [task.name for task in TASKS]
LAST = {
    "cyst": (1 + 1 + 0) / 3,
    "organ": 1 / 3,
    "nodule": (20 / 40 + 1200 / 4800 + 75 / 1200) / 3,
    "femur": (1 + 0.7 + 0) / 3,
    "length": (1 + 0.9 + 0) / 3,
}


@pytest.fixture
def suite(tmp_path: Path) -> str:
    """A suite over the mixed stream with a strategy that learns nothing."""
    card = {
        "name": "mixed",
        "description": "Every kind.",
        "loader": str(HERE / "scripted_stream.py"),
        "data": ".",
        "learner": str(HERE / "scripted_learner.py"),
        "protocols": ["task-id"],
        "order_reason": "none",
        "tasks": [{"name": task.name, "kind": task.kind, "metric": task.metric} for task in TASKS],
    }
    (tmp_path / "mixed.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")
    values = {"streams": [str(tmp_path / "mixed.yaml")], "strategies": ["zero-shot"]}
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    return str(tmp_path / "suite.yaml")


def test_r_is_empty_above_its_diagonal_and_a_kill_changes_nothing(suite: str, tmp_path: Path) -> None:
    cell = load_suite(suite).cells[0]
    straight = run(cell, tmp_path / "straight")
    for number, version in enumerate(straight.result(cell.load_stream()).protocols["task-id"].versions):
        assert version.scores[:number] == pytest.approx([LAST[name] for name in NAMES[:number]])
        assert version.scores[number:] == (None,) * (len(NAMES) - number)
    assert len(straight.rows(0)) == 0
    for after in (0, 2):
        with pytest.raises(Killed):
            run(cell, tmp_path / str(after), stop_after=after)
        cut = run(cell, tmp_path / str(after))
        assert read_ledger(cut.path / "ledger.parquet").equals(read_ledger(straight.path / "ledger.parquet"))


def test_challenge_metrics_are_in_the_cells_folder(suite: str, tmp_path: Path) -> None:
    folder = run(load_suite(suite).cells[0], tmp_path / "cell").path
    (protocol,) = json.loads((folder / "result.json").read_text())["result"]["protocols"].values()
    versions = [version["challenge"] for version in protocol["versions"]]
    assert versions[0] == {"tasks": {}, "kinds": {}, "undefined": {}}
    assert list(versions[2]["tasks"]) == ["cyst", "organ"]
    last = versions[-1]
    assert last["tasks"]["femur"] == {"mre": pytest.approx((0 + 3 + 50) / 3)}
    assert last["tasks"]["organ"]["auc"] == last["kinds"]["classification"]["auc"] == 0.75
    assert last["undefined"] == {}
    assert last["kinds"]["regression"] == {"mre": pytest.approx(53 / 3), "mae": pytest.approx((0 + 1 + 25) / 3)}


def test_what_is_printed_tracked_and_shown(suite: str, tmp_path: Path, clbench: Command) -> None:
    out = tmp_path / "out"
    done = clbench("run", suite, "--out", str(out))
    assert done.returncode == 0, done.stderr
    table = [re.split(r"\s{2,}", line.strip()) for line in done.stdout.splitlines()]
    (titles,) = (line for line in table if "Last" in line)
    (values,) = (line for line in table if line[0] == "zero-shot (0)")
    printed = dict(zip(titles, values, strict=False))
    assert printed["Last"] == f"{100 * sum(LAST.values()) / 5:.1f}"
    assert printed["seg Dice"] == f"{100 * LAST['cyst']:.1f}"
    assert printed["cls acc"] == f"{100 * LAST['organ']:.1f}"
    assert printed["det IoU"] == f"{100 * LAST['nodule']:.1f}"
    assert printed["reg score"] == f"{100 * (LAST['femur'] + LAST['length']) / 2:.1f}"
    assert printed["Average"] == printed["Transfer"] == "n/a"
    assert printed["forgetting"] == "0.0"
    _check_tracking(f"sqlite:///{out}/mlflow.db", out)
    _check_leaderboard(out / "leaderboard")


def _check_tracking(uri: str, folder: Path) -> None:
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("clbench")
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id], "tags.`clbench.kind` = 'cell'")
    assert found.data.metrics["challenge/segmentation/hausdorff"] == pytest.approx(50 / 3)
    assert found.data.metrics["challenge/classification/auc"] == 0.75
    text = Path(client.download_artifacts(found.info.run_id, "numbers.csv", str(folder))).read_text()
    steps: dict[str, list[int]] = {}
    for row in csv.DictReader(text.splitlines()):
        steps.setdefault(row["name"], []).append(int(row["version"]))
    assert steps["challenge/femur/mre"] == [4, 5]
    assert steps["task-id/R/nodule"] == [3, 4, 5]
    assert "result.json" in {item.path for item in client.list_artifacts(found.info.run_id)}


def _check_leaderboard(folder: Path) -> None:
    (section,) = json.loads((folder / "leaderboard.json").read_text())["sections"]
    (standing,) = section["standings"]
    assert standing["challenge"]["challenge/regression/mre"]["mean"] == pytest.approx(53 / 3)
    result = standing["results"]["task-id"]
    assert result["metrics"]["mtil.average"] is None
    assert result["undefined"]["mtil.transfer"].startswith("version 1, task 'organ' was not measured")
    assert result["metrics"]["mtil.last"]["mean"] == pytest.approx(sum(LAST.values()) / 5)
    (page,) = (folder / "streams").glob("*.html")
    assert "Regression: MRE, pixels" in page.read_text()
    assert "| zero-shot | 0.667 |" in (folder / "leaderboard.md").read_text()
    (row,) = csv.DictReader((folder / "leaderboard.csv").read_text().splitlines())
    assert float(row["challenge/regression/mre"]) == pytest.approx(53 / 3)
    assert (row["challenge/regression/mre standard error"], row["challenge/regression/mre n"]) == ("", "1")


def test_a_row_without_a_score_fails_the_cell(suite: str, tmp_path: Path) -> None:
    cell = load_suite(suite).cells[0]
    folder = run(cell, tmp_path / "cell")
    rows, at = folder.rows(5), SCHEMA.get_field_index("score")
    damaged = rows.set_column(at, SCHEMA.field(at), pa.nulls(len(rows), pa.float64()))
    write_ledger(damaged, folder.path / "versions" / "0005" / "ledger.parquet")
    with pytest.raises(
        DataError, match=r"version 5, task 'cyst', sample 'cyst/0': wanted a score, got none \(and 11 more"
    ):
        folder.finish(cell.load_stream())
