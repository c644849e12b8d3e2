"""A cell's result is computed once and stored; other code of a metric computes it again, without training."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient

from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.benchmarks.engine.execution import CellRun
from clbench.benchmarks.engine.runner import RunOptions, SuiteResult, run_suite
from clbench.benchmarks.engine.suite import load_suite
from clbench.benchmarks.engine.summary import summarise
from clbench.benchmarks.tuning.criterion import criterion_of
from clbench.core.registry import METRICS
from clbench.core.storage import read_json, write_json
from clbench.reports import compute_result
from clbench.reports.leaderboard.collect import collect
from clbench.reports.result_code import code_digest

OWN = '''"""A metric of a third party."""
from clbench.core.registry import METRICS

@METRICS.register("best_cell", direction="higher")
def best_cell(scores):
    """The highest score of the last version."""
    return {factor} * float(scores.last_scores().max())
'''


class Silent:
    """A listener that does nothing."""

    def on_cell_start(self, *arguments: object) -> None:
        """Nothing."""

    on_version_end = on_cell_end = on_step = on_problem = on_cell_start


def run(path: str, out: Path) -> SuiteResult:
    result = run_suite(load_suite(path), RunOptions(out, torch.device("cpu"), f"sqlite:///{out}/mlflow.db"), Silent())
    assert result.unlogged == []
    return result


def nothing_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("this cell is finished")

    monkeypatch.setattr(CellRun, "__init__", refuse)


@pytest.fixture
def third_party(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[int], None]:
    """Registers a metric from a file; another factor stands for an edited file. Forgotten after the test."""
    for name in METRICS.names():
        METRICS.get(name)  # a module registers its metric once, when it is imported
    known, entries = dict(METRICS._files), dict(METRICS._components)

    def register(factor: int) -> None:
        monkeypatch.setattr(METRICS, "_files", dict(known))
        monkeypatch.setattr(METRICS, "_components", dict(entries))
        path = tmp_path / str(factor) / "best_cell.py"
        path.parent.mkdir()
        path.write_text(OWN.format(factor=factor))
        METRICS.add_file(path)

    return register


def test_an_edited_metric_needs_no_training(
    write_suite: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    third_party: Callable[[int], None],
) -> None:
    path, out = write_suite("zero-shot"), tmp_path / "out"
    plain = summarise(run(path, out).outcomes)[0]
    assert "best_cell" not in plain
    nothing_is_trained(monkeypatch)
    for factor in (1, 2):
        third_party(factor)
        result = run(path, out)
        (row,), (outcome,) = summarise(result.outcomes), result.outcomes
        assert row["status"] == "kept"
        stream = outcome.cell.load_stream()
        value = factor * float(outcome.folder.result(stream).matrix("task-id").scores[-1].max())
        assert row["best_cell"] == value
        assert {name: row[name] for name in plain if name != "status"} == {
            name: plain[name] for name in plain if name != "status"
        }
        (logged,) = collect(f"sqlite:///{out}/mlflow.db", "clbench")
        assert logged.result == outcome.folder.result(stream)
        run_id = logged.run_id
        assert MlflowClient(f"sqlite:///{out}/mlflow.db").get_run(run_id).data.metrics["task-id/best_cell"] == value
        assert criterion_of("best_cell", stream).value(outcome.folder.result(stream)) == value


def test_a_result_of_the_same_code_is_read_and_not_computed(
    write_suite: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = write_suite("zero-shot"), tmp_path / "out"
    first = run(path, out)
    nothing_is_trained(monkeypatch)
    monkeypatch.setattr(compute_result, "compute_all", lambda matrix: pytest.fail("computed again"))
    again = run(path, out)
    assert [outcome.status for outcome in again.outcomes] == ["kept"]
    last, kept = (summarise(found.outcomes)[0] for found in (first, again))
    assert {**last, "status": ""} == {**kept, "status": ""}


def test_folders_without_a_result_of_earlier_code_get_one(
    write_suite: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = write_suite("zero-shot"), tmp_path / "out"
    (outcome,) = run(path, out).outcomes
    stream, stored = outcome.cell.load_stream(), outcome.folder.path / "result.json"
    whole = read_json(stored)
    for content in ({"status": "finished", "versions": 4}, {**whole, "result": {"schema": 1}}):
        write_json(stored, content)
        assert CellFolder(outcome.folder.path).result(stream).code == code_digest()
        assert read_json(stored) == whole


def test_a_finished_cell_says_all_of_itself_in_one_file(write_suite: Callable[..., str], tmp_path: Path) -> None:
    (outcome,) = run(write_suite("zero-shot"), tmp_path / "out").outcomes
    found = json.loads((outcome.folder.path / "result.json").read_text())
    assert (found["status"], found["versions"]) == ("finished", 4)
    assert list(found["result"]["protocols"]) == ["task-id", "union"]
    last = found["result"]["protocols"]["union"]["versions"][-1]
    assert last["flips"]["flips/all/nfr"] == 0
    assert found["result"]["costs"].keys() >= {"cost/train_seconds", "cost/test_seconds"}
    assert not (outcome.folder.path / "matrix.json").exists()
