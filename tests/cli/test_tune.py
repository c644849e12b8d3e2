"""`clbench tune` from end to end, on the tiny stream: trials, file, resume, the suite that uses the result."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from mlflow import MlflowClient
from tests.command import Command

from clbench.benchmarks.engine.suite import load_suite
from clbench.spec.ledger import read_ledger

BROKEN = '''"""A strategy with a defect at one setting."""
from clbench.contracts import Strategy, StrategyConfig
from clbench.core.registry import STRATEGIES

class BrokenConfig(StrategyConfig):
    """Settings of `Broken`."""
    at: int = 0

@STRATEGIES.register("failing-trial", config=BrokenConfig)
class Broken(Strategy[BrokenConfig]):
    """Fails at one task."""
    def learn(self, task):
        if len(self.seen) == self.config.at:
            raise ZeroDivisionError("on purpose")
'''


def stamps(out: Path) -> dict[str, int]:
    """When each version and each result of a cell was written."""
    return {
        str(path.relative_to(out)): path.stat().st_mtime_ns
        for pattern in ("*/*/result.json", "*/*/versions/*/ledger.parquet")
        for path in out.glob(pattern)
    }


def runs_of(out: Path, kind: str) -> list[Any]:
    """All runs of a kind in the output folder's store."""
    client = MlflowClient(f"sqlite:///{out / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("clbench")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], f"tags.`clbench.kind` = '{kind}'"))


def test_a_search_of_two_strategies_from_end_to_end(
    clbench: Command, write_suite: Callable[..., str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    suite = write_suite("zero-shot", "finetune", {"name": "lora", "rank": 2})
    command = ("tune", suite, "--set", "lr=0.0001,0.003", "--out", out)
    status, printed, errors = clbench(*command)
    assert status == 0, errors
    (path,) = out.glob("*.yaml")
    record = yaml.safe_load(path.read_text())
    assert (record["suite"], record["stream"], record["split"], record["seeds"]) == (
        "suite",
        "tiny",
        "validation",
        [100],
    )
    assert (record["criterion"], record["protocol"], record["trials_each"]) == ("mtil.last", "task-id", 2)
    assert record["budget"] == {"steps": 4, "batch_size": 8, "micro_batch": None, "checkpointing": False}
    assert record["untuned"] == ["zero-shot"]
    assert [(t["strategy"], t.get("given"), t["settings"]) for t in record["trials"]] == [
        ("finetune", None, {"lr": 0.0001}),
        ("finetune", None, {"lr": 0.003}),
        ("lora", {"rank": 2}, {"lr": 0.0001}),
        ("lora", {"rank": 2}, {"lr": 0.003}),
    ]
    values = _last_on_disk(out)
    for trial in record["trials"]:
        assert trial["value"] == pytest.approx(values[trial["strategy"], trial["settings"]["lr"]])
    for choice in record["chosen"]:
        assert choice["value"] == max(t["value"] for t in record["trials"] if t["strategy"] == choice["strategy"])
    assert f"result: {path}" in printed
    assert "without these settings, not tuned: zero-shot" in printed
    assert errors.splitlines()[-1].startswith(
        "warning: best value at the edge of the grid, extend the grid: finetune lr="
    )

    before, text = stamps(out), path.read_bytes()
    assert clbench(*command)[0] == 0
    assert (stamps(out), path.read_bytes()) == (before, text), "the second time nothing is computed"
    _check_mlflow(out, path, record)
    _check_use(clbench, write_suite, out, path, record)


def _last_on_disk(out: Path) -> dict[tuple[str, float], float]:
    """Mean of the last row of R of every trial, from the ledgers, which hold no test sample."""
    found = {}
    for cell in out.glob("suite--*/*/cell.json"):
        what = json.loads(cell.read_text())["strategy"]
        ledger = read_ledger(cell.parent / "ledger.parquet").to_pylist()
        assert {row["sample_id"].split("/")[1] for row in ledger} == {"validation"}
        last = [row for row in ledger if row["version"] == 3 and row["protocol"] == "task-id"]
        scores = [np.mean([r["correct"] for r in last if r["task"] == task]) for task in ("one", "two", "three")]
        found[what["name"], what["settings"]["lr"]] = float(np.mean(scores))
    assert len(found) == 4
    return found


def _check_mlflow(out: Path, path: Path, record: dict[str, Any]) -> None:
    (search,) = runs_of(out, "search")
    (parent,) = runs_of(out, "suite")
    cells = runs_of(out, "cell")
    assert search.info.status == "FINISHED"
    assert search.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert {cell.data.tags["mlflow.parentRunId"] for cell in cells} == {parent.info.run_id}
    assert {cell.data.tags["clbench.search"] for cell in cells} == {path.stem}
    assert sorted(cell.data.tags["clbench.trial"] for cell in cells) == ["0", "1", "2", "3"]
    chosen = {choice["strategy"]: choice for choice in record["chosen"]}
    assert search.data.params["finetune/lr"] == str(chosen["finetune"]["settings"]["lr"])
    assert search.data.params["lora rank 2/lr"] == str(chosen["lora"]["settings"]["lr"])
    assert search.data.metrics["best/finetune"] == chosen["finetune"]["value"]
    names = [item.path for item in MlflowClient(f"sqlite:///{out / 'mlflow.db'}").list_artifacts(search.info.run_id)]
    assert names == [path.name]


def _check_use(
    clbench: Command, write_suite: Callable[..., str], out: Path, path: Path, record: dict[str, Any]
) -> None:
    """A suite that names the result runs with what was chosen, under bare names."""
    chosen = {choice["strategy"]: choice["settings"]["lr"] for choice in record["chosen"]}
    suite = write_suite("zero-shot", "finetune", {"name": "lora", "rank": 2}, tuned=str(path))
    cells = load_suite(suite).cells
    assert [cell.label for cell in cells] == ["zero-shot", "finetune", "lora rank=2"]
    assert [cell.config.model_dump().get("lr") for cell in cells] == [None, chosen["finetune"], chosen["lora"]]
    status, printed, errors = clbench("run", suite, "--strategies", "finetune", "--out", out, "--json")
    assert status == 0, errors
    (row,) = json.loads(printed)["cells"]
    assert (
        json.loads((Path(row["folder"]) / "cell.json").read_text())["strategy"]["settings"]["lr"] == chosen["finetune"]
    )


def test_the_test_part_is_never_read(
    clbench: Command, tiny: Any, write_suite: Callable[..., str], tmp_path: Path
) -> None:
    shutil.copytree(tiny.folder, tmp_path / "tiny")
    for file in (tmp_path / "tiny").rglob("test.parquet"):
        rows = pq.read_table(file)
        broken = pa.array([{"bytes": b"no image", "path": None}] * len(rows), rows.schema.field("image").type)
        pq.write_table(rows.set_column(rows.schema.get_field_index("image"), rows.schema.field("image"), broken), file)
    suite = write_suite("finetune", streams=[str(tmp_path / "tiny" / "tiny.yaml")])
    status, _, errors = clbench("tune", suite, "--set", "lr=0.0001,0.003", "--out", tmp_path)
    assert status == 0, errors
    status, _, errors = clbench("run", suite, "--out", tmp_path)
    assert (status, "samples of its part 'test' do not decode" in errors) == (2, True), errors


def test_a_trial_that_diverges_counts_as_worst_and_is_kept_in_the_record(
    clbench: Command, write_suite: Callable[..., str], tmp_path: Path
) -> None:
    command = ("tune", write_suite("finetune"), "--set", "lr=1e-4,1e20", "--out", tmp_path, "--name", "mine")
    status, _, errors = clbench(*command)
    assert status == 0, errors
    record = yaml.safe_load((tmp_path / "mine.yaml").read_text())
    assert record["chosen"][0]["settings"] == {"lr": 0.0001}
    assert [("value" in trial, "error" in trial) for trial in record["trials"]] == [(True, False), (False, True)]
    assert "the loss is not finite" in record["trials"][1]["error"]
    before = stamps(tmp_path)
    assert clbench(*command)[0] == 0
    assert stamps(tmp_path) == before, "what has diverged is not computed again"


def test_where_every_trial_diverged_nothing_is_chosen(
    clbench: Command, write_suite: Callable[..., str], tmp_path: Path
) -> None:
    status, printed, _ = clbench("tune", write_suite("finetune"), "--set", "lr=1e20", "--out", tmp_path, "--name", "x")
    assert status == 0
    assert "none: all trials diverged" in printed
    assert yaml.safe_load((tmp_path / "x.yaml").read_text())["chosen"] == []
    suite = write_suite("finetune", tuned=str(tmp_path / "x.yaml"))
    assert load_suite(suite).cells[0].config.model_fields_set == set()


def test_a_trial_that_fails_otherwise_leaves_no_result(
    clbench: Command, write_suite: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "failing_trial.py").write_text(BROKEN)
    suite = write_suite(str(tmp_path / "failing_trial.py"))
    status, _, errors = clbench("tune", suite, "--set", "failing-trial.at=0,2", "--out", tmp_path / "out")
    assert status == 1
    assert not list((tmp_path / "out").glob("*.yaml"))
    lines = errors.splitlines()
    assert lines[-2].startswith("failed: tiny / ")
    assert "ZeroDivisionError: on purpose" in lines[-2]
    assert lines[-1].startswith("error: no result: ")


def test_the_result_as_json(clbench: Command, write_suite: Callable[..., str], tmp_path: Path) -> None:
    status, printed, _ = clbench("tune", write_suite("finetune"), "--set", "lr=0.003", "--out", tmp_path, "--json")
    found = json.loads(printed)
    assert (status, found["schema"], len(found["trials"])) == (0, 1, 1)
    assert Path(found["file"]).is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "lrr=0.1,0.2"], "--set lrr: no strategy has a setting 'lrr': did you mean 'lr'?"),
        (["--set", "lora.rnk=1,2"], "strategy lora: unknown setting 'rnk': did you mean 'rank'?"),
        (["--set", "lr=0.1,many"], "strategy finetune: lr must be a valid number"),
        (["--set", "lr=0.1,,0.2"], "--set 'lr=0.1,,0.2': '0.1,,0.2' is not a list of values"),
        (["--set", "lr=0.1,"], "wanted values separated by commas, got '0.1,'"),
        (["--set", "lr="], "wanted values separated by commas, got ''"),
        (["--set", "lr"], "wanted key=value,value"),
        (["--set", "lr=0.1,-1"], "strategy finetune: lr must be greater than 0, got -1"),
        (["--set", "lr=0.1,.inf"], "lr must be a finite number"),
        (["--set", "lr=0.1,0.1"], 'strategy finetune: the grid has {"lr": 0.1} twice'),
        (["--set", "lr=0.1", "--set", "lr=0.2"], "--set lr: given twice"),
        (
            ["--set", "ewc.lr=0.1,0.2"],
            "--set ewc.lr: no strategy 'ewc' in this search: known: finetune, lora, zero-shot",
        ),
        (["--set", "lr=0.1", "--trials", "0"], "--trials must be at least 1, got 0"),
        (["--set", "lr=0.1", "--seed", "7"], "--seed 7: suite suite reports this seed"),
        (["--set", "lr=0.1", "--seed", "a"], "--seed must be integers"),
        (["--set", "lr=0.1", "--set", "split=test"], "--set split=test: settings are chosen on the validation part"),
        (["--set", "lr=0.1", "--set", "budget.steps=1,2"], "--set budget.steps: is the same for all trials"),
        (["--set", "lr=0.1", "--set", "budget.step=1"], "unknown setting 'budget.step': did you mean 'steps'?"),
        (["--set", "lr=0.1", "--criterion", "mtil.lst"], "unknown metric 'mtil.lst': did you mean 'mtil.last'?"),
        (["--set", "lr=0.1", "--name", "../x"], "--name '../x': wanted letters"),
        (["--set", "lr=0.1", "--stream", "clip-mimi"], "unknown stream 'clip-mimi'"),
        (["--set", "budget.steps=1"], "nothing to search"),
        ([], "nothing to search"),
    ],
)
def test_bad_input_is_one_line_before_anything_runs(
    clbench: Command, write_suite: Callable[..., str], tmp_path: Path, arguments: list[str], message: str
) -> None:
    suite = write_suite("zero-shot", "finetune", "lora", seeds=[0, 7])
    status, _, errors = clbench("tune", suite, *arguments, "--out", tmp_path / "out")
    assert status == 2, errors
    assert message in errors
    assert len(errors.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_suite_of_several_streams_wants_one(
    clbench: Command, tiny: Any, write_suite: Callable[..., str], tmp_path: Path
) -> None:
    suite = write_suite("finetune", streams=[tiny.stream, "clip-mini"])
    status, _, errors = clbench("tune", suite, "--set", "lr=0.1", "--out", tmp_path / "out")
    assert (status, "choose one by --stream" in errors) == (2, True)
