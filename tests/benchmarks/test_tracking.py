"""MLflow: what a run holds, and a real server over HTTP."""

import csv
import json
import math
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import Metric, Run

from clbench.benchmarks.engine.runner import RunOptions, run_suite
from clbench.benchmarks.engine.suite import load_suite
from clbench.benchmarks.tracking.headline import is_headline
from clbench.benchmarks.tracking.run_contents import _plain
from clbench.benchmarks.tracking.run_index import RunIndex
from clbench.benchmarks.tracking.store import (
    GUESSED,
    KIND,
    SHOWN,
    connect,
    create_run,
    default_uri,
    log_metrics,
    log_parameters,
    open_experiment,
    runs_page,
    settle,
)
from clbench.benchmarks.tracking.tracker import Tracker
from clbench.core.errors import TrackingError
from clbench.core.mlflow_store import allowed_name, ui_command
from clbench.reports.leaderboard.collect import collect
from clbench.spec.ledger import read_ledger, task_scores


class Silent:
    """A listener that does nothing."""

    def on_cell_start(self, *arguments: object) -> None:
        """Nothing."""

    on_version_end = on_cell_end = on_step = on_problem = on_cell_start


def runs_of(uri: str, kind: str) -> list[Run]:
    """All runs of a kind in a store."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("clbench")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], f"tags.`clbench.kind` = '{kind}'"))


def check(uri: str, out: Path, tmp_path: Path) -> None:
    """The store holds what the disk holds."""
    (suite,), (cell,) = runs_of(uri, "suite"), runs_of(uri, "cell")
    assert cell.data.tags["mlflow.parentRunId"] == suite.info.run_id
    assert {suite.info.status, cell.info.status} == {"FINISHED"}
    assert cell.data.params["budget.steps"] == "4"
    assert cell.data.params["strategy.settings.lr"] == "0.0003"
    folder = next(out.glob("suite/*--finetune--*"))
    client = MlflowClient(uri)
    names = {item.path for item in client.list_artifacts(cell.info.run_id)}
    assert names >= {
        "ledger.parquet",
        "result.json",
        "config.json",
        "environment.json",
        "R-task-id.csv",
        "matrix-union.png",
        "numbers.csv",
    }
    assert len(cell.data.metrics) <= 25
    table = all_numbers(client, cell.info.run_id, tmp_path)
    downloaded = Path(client.download_artifacts(cell.info.run_id, "ledger.parquet", str(tmp_path)))
    ledger = read_ledger(downloaded)
    assert ledger.equals(read_ledger(folder / "ledger.parquet"))
    for protocol in ("task-id", "union"):
        scores = task_scores(ledger, protocol)
        for task in ("one", "two", "three"):
            found = [table[version, f"{protocol}/R/{task}"] for version in range(4)]
            assert found == [scores[version, task] for version in range(4)]
    scored = {
        (row["task"], row["sample_id"], row["version"]): row["correct"]
        for row in ledger.to_pylist()
        if row["protocol"] == "union"
    }
    lost = sum(was and not scored[task, sample, 3] for (task, sample, version), was in scored.items() if version == 2)
    flips = {point.step: point.value for point in client.get_metric_history(cell.info.run_id, "union/flips/all/nfr")}
    assert set(flips) == {1, 2, 3}
    assert flips[3] == pytest.approx(lost / 45)
    for name, value in cell.data.metrics.items():  # the newest value of each metric is that of its newest version
        assert value == table[max(version for version, known in table if known == name), name]
    check_models_and_data(client, cell)
    numbers = [json.loads(path.read_text())["numbers"] for path in folder.glob("versions/*/record.json")]
    assert len(numbers) == 4
    metrics = cell.data.metrics
    assert metrics["cost/train_seconds"] == pytest.approx(sum(found["seconds/train"] for found in numbers))
    assert metrics["cost/test_seconds"] == pytest.approx(sum(found["seconds/eval"] for found in numbers))
    assert metrics["cost/decode_seconds"] == pytest.approx(sum(found["seconds/decode"] for found in numbers)) != 0
    assert metrics["cost/taken_over_seconds"] == sum(found["seconds/taken_over"] for found in numbers) == 0
    assert metrics["cost/process_peak_mb"] == max(found["memory/process_peak_mb"] for found in numbers)
    assert min(metrics["update/drift"], metrics["update/norm"]) > 0
    environment = json.loads(
        Path(client.download_artifacts(cell.info.run_id, "environment.json", str(tmp_path))).read_text()
    )
    assert environment["packages"]["torch"]
    assert environment["hardware"]["cores"]


def all_numbers(client: MlflowClient, run: str, folder: Path) -> dict[tuple[int, str], float]:
    """The table of all numbers, by version and name."""
    text = Path(client.download_artifacts(run, "numbers.csv", str(folder))).read_text()
    return {(int(row["version"]), row["name"]): float(row["value"]) for row in csv.DictReader(text.splitlines())}


def check_models_and_data(client: MlflowClient, cell: Run) -> None:
    """Each version is a logged model with its metrics, each task a data set, and the description has R."""
    models = {
        model.params["version"]: model
        for model in client.search_logged_models([cell.info.experiment_id])
        if model.source_run_id == cell.info.run_id
    }
    assert sorted(models) == ["0", "1", "2", "3"]
    assert [models[str(version)].params["update"] for version in range(4)] == ["none", "learn", "learn", "learn"]
    for version in (1, 3):
        shown = {metric.key: metric.value for metric in models[str(version)].metrics or ()}
        history = client.get_metric_history(cell.info.run_id, "union/flips/all/nfr")
        assert shown["union/flips/all/nfr"] == next(point.value for point in history if point.step == version)
    assert cell.inputs is not None
    names = [used.dataset.name for used in cell.inputs.dataset_inputs]
    assert sorted(names) == ["tiny/one", "tiny/three", "tiny/two"]
    assert "| version | one | two | three |" in cell.data.tags["mlflow.note.content"]


def test_a_run_in_sqlite(write_suite: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    uri = default_uri(tmp_path / "out")
    run_suite(load_suite(write_suite("finetune")), RunOptions(tmp_path / "out", torch.device("cpu"), uri), Silent())
    check(uri, tmp_path / "out", tmp_path)
    assert (tmp_path / "out" / "artifacts").is_dir()


def test_the_usual_environment_variable_is_obeyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://example.invalid")
    assert default_uri(tmp_path) == "http://example.invalid"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A real `mlflow server` on a free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    store = tmp_path / "server"
    store.mkdir()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{store / 'db'}", "--artifacts-destination", str(store / "artifacts")]
    with (store / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            _wait_for(f"http://127.0.0.1:{port}/health", process)
            yield f"http://127.0.0.1:{port}"
        finally:
            import os
            import signal

            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert process.poll() is None
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(url)


def test_a_server_over_http_receives_a_run(server: str, write_suite: Callable[..., str], tmp_path: Path) -> None:
    run_suite(load_suite(write_suite("finetune")), RunOptions(tmp_path / "out", torch.device("cpu"), server), Silent())
    check(server, tmp_path / "out", tmp_path)


def again(path: str, out: Path) -> None:
    """Run a suite of one cell; MLflow takes everything."""
    options = RunOptions(out, torch.device("cpu"), f"sqlite:///{out / 'mlflow.db'}")
    result = run_suite(load_suite(path), options, Silent())
    assert [outcome.status for outcome in result.outcomes] in (["finished"], ["kept"])
    assert result.unlogged == []


@pytest.mark.parametrize("lost", ["the database", "both runs", "the cell's run"])
def test_a_run_that_is_gone_is_made_again(write_suite: Callable[..., str], tmp_path: Path, lost: str) -> None:
    path, out = write_suite("finetune"), tmp_path / "out"
    uri = f"sqlite:///{out / 'mlflow.db'}"
    again(path, out)
    for run in [*runs_of(uri, "cell"), *(runs_of(uri, "suite") if lost != "the cell's run" else [])]:
        MlflowClient(uri).delete_run(run.info.run_id)
        if lost == "the database":  # then the store does not know the run at all
            for file in (*out.glob("suite/tracking.json"), *out.glob("suite/*/tracking.json")):
                file.write_text(file.read_text().replace(run.info.run_id, run.info.run_id[::-1]))
    again(path, out)
    again(path, out)
    check(uri, out, tmp_path)


def test_folders_of_earlier_code_have_no_costs_of_their_own_for_decoding_and_passes(
    write_suite: Callable[..., str], tmp_path: Path
) -> None:
    path, out = write_suite("finetune"), tmp_path / "out"
    again(path, out)
    record = next(out.glob("suite/*/versions/0002/record.json"))
    values = json.loads(record.read_text())
    del values["numbers"]["seconds/decode"], values["numbers"]["seconds/taken_over"]
    del values["numbers"]["passes/with_gradient"], values["numbers"]["passes/without_gradient"]
    record.write_text(json.dumps(values))
    (record.parents[2] / "result.json").write_text('{"status": "finished", "versions": 4}')
    (run,) = runs_of(f"sqlite:///{out / 'mlflow.db'}", "cell")
    MlflowClient(f"sqlite:///{out / 'mlflow.db'}").delete_run(run.info.run_id)
    again(path, out)
    (run,) = runs_of(f"sqlite:///{out / 'mlflow.db'}", "cell")
    costs = {name for name in run.data.metrics if name.startswith("cost/")}
    assert costs == {"cost/train_seconds", "cost/test_seconds", "cost/process_peak_mb", "cost/trained_share"}


DAMAGED = [
    "[]",
    "{",
    '{"runs": ["x"], "logged": 3, "closed": "x"}',
    '{"runs": {"%s": 5}}',
    '{"runs": {"%s": ["x"]}, "logged": {"x": "y"}}',
    '{"runs": {"%s": "../x"}}',
    '{"runs": {"%s": ""}, "closed": {"": true}}',
]


def test_a_damaged_memory_only_means_a_new_run(write_suite: Callable[..., str], tmp_path: Path) -> None:
    path, out = write_suite("finetune"), tmp_path / "out"
    uri = f"sqlite:///{out / 'mlflow.db'}"
    again(path, out)
    for number, memory in enumerate(DAMAGED, 2):
        for file in (*out.glob("suite/tracking.json"), *out.glob("suite/*/tracking.json")):
            file.write_text(memory.replace("%s", uri))
        again(path, out)
        assert len(runs_of(uri, "cell")) == len(runs_of(uri, "suite")) == number
    for run in runs_of(uri, "cell"):
        assert run.info.status == "FINISHED"
        assert len(MlflowClient(uri).get_metric_history(run.info.run_id, "union/flips/all/nfr")) == 3


def test_what_a_memory_says_of_versions_is_not_trusted_blindly(tmp_path: Path) -> None:
    memory = RunIndex(tmp_path)
    memory.remember("logged", "run", -7)
    memory.remember("closed", "run", "yes")
    assert (memory.logged("run"), memory.closed("run"), memory.run("store")) == (-1, False, None)


ODD = ("a//b", "/a", "..", "", "\u00e9", "n" * 300, "a\n")


def test_any_number_of_names_of_any_kind_is_logged(tmp_path: Path) -> None:
    client, experiment = connect(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path)
    names = [*ODD, *(f"name {number}" for number in range(1500))]
    run = create_run(client, experiment, "n" * 300, {"clbench.label": "x" * 9000, "clbench.suite": "\ud800"})
    log_metrics(client, run, [Metric(name, float(number), 0, 0) for number, name in enumerate(names)])
    log_metrics(client, run, [Metric(name, value, 0, 0) for name, value in (("inf", math.inf), ("nan", math.nan))])
    log_parameters(client, run, dict.fromkeys(names[:130], "v" * 7000))
    found = client.get_run(run)
    assert found.data.metrics == {allowed_name(name): float(number) for number, name in enumerate(names)}
    assert {key: len(value) for key, value in found.data.params.items()} == {
        allowed_name(name): 6000 for name in names[:130]
    }
    assert (len(found.info.run_name), len(found.data.tags["clbench.label"])) == (250, 8000)


def test_no_password_goes_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clbench.benchmarks.tracking.tracker.connect", lambda uri, out: (FakeClient(), "0"))
    Tracker("http://me:secret@host", tmp_path, "suite", tmp_path, {})
    assert json.loads((tmp_path / "tracking.json").read_text()) == {"runs": {"http://host": "run"}}


class FakeClient:
    """A store that takes a run."""

    def create_run(self, *arguments: object, **named: object) -> object:
        return SimpleNamespace(info=SimpleNamespace(run_id="run"))


PROTOCOLS = ("task-id", "union")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("task-id/average_accuracy", True),
        ("task-id/R/one", False),
        ("task-id/bwt.continuum", False),
        ("task-id/flips/all/nfr", True),
        ("task-id/flips/task/one/nfr", False),
        ("union/bwt.gem", False),
        ("union/average_accuracy", True),
        ("union/somebodys_own", True),
        ("challenge/segmentation/dice", True),
        ("challenge/cyst/dice", False),
        ("cost/train_seconds", True),
        ("seconds/train", False),
        ("update/rank", False),
        ("update/drift", True),
        ("probe/lm-eval/swims/acc", True),
        ("codyra/mean_rank", True),
        ("codyra/rank/vision.q", False),
        ("samples_read", False),
    ],
)
def test_metrics_are_few(name: str, shown: bool) -> None:
    assert is_headline(name, PROTOCOLS) is shown


def test_names_in_a_description_are_no_markup(tmp_path: Path) -> None:
    assert _plain("[a](b) <script> | `x` *y*") == ("&#91;a&#93;(b) &#60;script&#62; &#124; &#96;x&#96; &#42;y&#42;")


def test_the_machine_is_measured_if_mlflows_variable_asks_for_it(
    write_suite: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    again(write_suite("finetune"), tmp_path / "out")
    (run,) = runs_of(f"sqlite:///{tmp_path / 'out' / 'mlflow.db'}", "cell")
    assert 0 <= run.data.metrics["system/system_memory_usage_percentage"] <= 100
    assert not [thread for thread in threading.enumerate() if "SystemMetrics" in thread.name]


def test_a_store_in_sqlite_is_in_wal_mode_and_can_be_copied_when_a_run_has_ended(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client, experiment = connect(uri, tmp_path)
    run = create_run(client, experiment, "a")
    settle(uri)
    copied = tmp_path / "copy.db"
    copied.write_bytes((tmp_path / "mlflow.db").read_bytes())
    with sqlite3.connect(copied) as database:
        assert database.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
        assert database.execute("select run_uuid from runs").fetchall() == [(run,)]
    settle("http://host")


def test_a_deleted_experiment_is_one_line(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client, experiment = connect(uri, tmp_path)
    client.delete_experiment(experiment)
    with pytest.raises(TrackingError, match=r"experiment 'clbench' is deleted: `MLFLOW_TRACKING_URI=.* mlflow exp"):
        connect(uri, tmp_path)


def test_a_folder_of_any_name_has_its_own_store_to_which_the_printed_command_leads(tmp_path: Path) -> None:
    out = tmp_path / "ü b'q\"$HOME%41#h?x=1&y"
    uri = default_uri(out)
    connect(uri, out)
    with sqlite3.connect(out / "mlflow.db") as store:
        assert store.execute("select name from experiments where name = 'clbench'").fetchall()
    with pytest.raises(TrackingError, match="experiment 'clbench' has no clbench runs"):
        collect(uri, "clbench")
    script = f'mlflow() {{ printf %s "$3"; }}; {ui_command(uri)}'
    pasted = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert pasted == uri


def test_experiments_are_of_runs_unless_a_user_says_otherwise(tmp_path: Path) -> None:
    client, made = connect(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path)
    assert client.get_experiment(made).tags == {KIND: "custom_model_development"}
    client.delete_experiment_tag(made, KIND)  # as earlier versions have left it
    assert open_experiment(client, "clbench") == made
    assert client.get_experiment(made).tags == {KIND: "custom_model_development"}
    for guessed in GUESSED:
        client.set_experiment_tag(made, KIND, guessed)
        open_experiment(client, "clbench")
        assert client.get_experiment(made).tags == {KIND: "custom_model_development"}
    for chosen in ("genai_development", "classification"):
        client.set_experiment_tag(made, KIND, chosen)
        open_experiment(client, "clbench")
        assert client.get_experiment(made).tags == {KIND: chosen}


def test_the_page_with_the_runs_is_that_of_the_server_or_of_this_machine() -> None:
    assert runs_page("http://me:secret@host:80/", "7") == f"http://host:80/#/experiments/7/runs?{SHOWN}"
    assert runs_page("sqlite:////a/mlflow.db", "1") == f"http://127.0.0.1:5000/#/experiments/1/runs?{SHOWN}"


def test_a_kill_while_the_tables_are_made_leaves_a_store_that_can_be_made(tmp_path: Path) -> None:
    """MLflow's tables take seconds to make; half of them could never be opened again."""
    database, half = tmp_path / "mlflow.db", tmp_path / ".mlflow.db.part"
    code = "import sys; from pathlib import Path; from clbench.benchmarks.tracking.store import connect, default_uri; "
    call = "connect(default_uri(Path(sys.argv[1])), Path(sys.argv[1]))"
    process = subprocess.Popen([sys.executable, "-c", code + call, str(tmp_path)], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not half.is_file() or not half.stat().st_size:
        assert time.monotonic() < deadline, "the tables are not begun"
        assert process.poll() is None, process.communicate()
        time.sleep(0.001)
    process.kill()
    process.communicate()
    assert not database.exists()
    client, experiment = connect(default_uri(tmp_path), tmp_path)
    assert client.get_experiment(experiment).name == "clbench"
    assert not list(tmp_path.glob(".*.part*"))
