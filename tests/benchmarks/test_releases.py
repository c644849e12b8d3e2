"""Streams of releases from the card to MLflow: versions, matrices, flips by task, undefined metrics, refusals."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from tests.strategies.update_streams import CLIP, LLAMA, QUICK, write_card, write_suite

from clbench.benchmarks.engine.cell import Cell
from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.benchmarks.engine.execution import CellRun, workplace_in
from clbench.benchmarks.engine.fit import require_one_vocabulary
from clbench.benchmarks.engine.learners import build_learner
from clbench.benchmarks.engine.runner import RunOptions, run_suite
from clbench.benchmarks.engine.suite import load_suite
from clbench.benchmarks.engine.summary import summarise
from clbench.benchmarks.forecast.forecast import forecast_suite
from clbench.core.errors import ConfigError, DataError, MetricError, RegistryError
from clbench.core.registry import METRICS
from clbench.learners._text.loading import ByteTokens
from clbench.learners._text.tokens import TextTokens
from clbench.reports.figures import matrix_figure
from clbench.reports.flips.chain import Chain, flips_between
from clbench.reports.flips.flip_metrics import all_metrics
from clbench.reports.leaderboard.aggregate import aggregate
from clbench.reports.leaderboard.collect import collect
from clbench.reports.matrix import ScoreMatrix
from clbench.reports.metrics._compute import compute_all
from clbench.reports.site.site_writer import write_leaderboard
from clbench.spec.ledger import read_ledger
from clbench.spec.update import Adopt
from clbench.streams.card import load_stream

CPU = torch.device("cpu")
STEPS = {"steps": 12, "batch_size": 12}
UPDATES = (Adopt(release="v1"), Adopt(release="v2"))
MATRIX = ScoreMatrix(("x", "y", "z"), np.arange(9).reshape(3, 3) / 10, UPDATES)


class Silent:
    """Listens to a suite; keeps what goes wrong."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def on_cell_start(self, index: int, cell: Cell, versions: int) -> None:
        assert versions == 3

    def on_version_end(self, index: int, version: int) -> None: ...

    def on_cell_end(self, index: int) -> None: ...

    def on_step(self, index: int, doing: str, step: int, total: int) -> None: ...

    def on_problem(self, message: str) -> None:
        self.problems.append(message)


def test_a_suite_of_releases_ends_in_mlflow_with_flips_by_task(tiny: Any, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    stream = write_card(tiny, tmp_path)
    strategies: Sequence[Any] = ({"name": "naive-update", **QUICK}, {"name": "muscle", **QUICK})
    suite = load_suite(write_suite(stream, tmp_path, *strategies, budget=STEPS))
    uri, listener = f"sqlite:///{tmp_path}/mlflow.db", Silent()
    result = run_suite(suite, RunOptions(tmp_path / "out", CPU, uri), listener)
    assert [outcome.error for outcome in result.outcomes] == ["", ""]
    assert not listener.problems
    folder = result.outcomes[1].folder
    ledger = read_ledger(folder.path / "ledger.parquet")
    client = MlflowClient(tracking_uri=uri)
    run = next(cell for cell in collect(uri, "clbench") if cell.strategy == "muscle")
    path = client.download_artifacts(run.run_id, "numbers.csv", str(tmp_path))
    rows = csv.DictReader(Path(path).read_text().splitlines())
    metrics = {row["name"]: float(row["value"]) for row in rows}  # of the last version that has a number of the name
    for task in ("one", "three"):
        table = flips_between(Chain.from_ledger(ledger, "task-id"), 1, 2, [task])
        assert metrics[f"task-id/flips/task/{task}/nfr"] == pytest.approx(all_metrics(table)["nfr"])
        assert f"task-id/R/{task}" in metrics
    assert [m.step for m in client.get_metric_history(run.run_id, "task-id/flips/all/nfr")] == [1, 2]
    wrong_here = ("bwt", "forgetting", "transfer", "fwt", "learnt_before", "first_to_last", "update/norm")
    assert not [name for name in metrics if any(word in name for word in wrong_here)]
    assert metrics["task-id/average_accuracy"] == pytest.approx(
        (metrics["task-id/R/one"] + metrics["task-id/R/three"]) / 2
    )
    stored = folder.result(load_stream(stream))
    assert stored.updates == load_stream(stream).updates
    assert stored.matrix("task-id").scores.shape == (3, 2)
    (row, _) = summarise(result.outcomes)
    assert {"mtil.last", "flips/all/nfr", "flips/task/one/nfr"} <= row.keys()
    assert row["bwt.gem"] is None
    assert cast(dict[str, str], row["undefined"])["bwt.gem"].startswith("versions are releases")
    (page,) = (write_leaderboard(uri, "clbench", tmp_path / "board").parent / "streams").glob("*.html")
    assert "2 " + load_stream(stream).releases[1] in page.read_text("utf-8")
    standing = aggregate(collect(uri, "clbench"))[0].standings[0]
    assert standing.results["task-id"].undefined["bwt.gem"].startswith("versions are releases")


def test_version_0_is_the_first_release_as_it_is(tiny: Any, tmp_path: Path) -> None:
    (cell,) = load_suite(write_suite(write_card(tiny, tmp_path), tmp_path, {"name": "naive-update", **QUICK})).cells
    folder = CellFolder(tmp_path / "cell")
    CellRun(cell, folder, workplace_in(tmp_path, CPU), lambda doing, step, total: None).run(lambda version: None)
    learner, stream = build_learner(f"{CLIP}:a", 0, CPU), load_stream(cell.stream)
    assert folder.record(0).digest == learner.digest()
    with torch.no_grad():
        predict = learner.predictor(stream.tasks, ("task-id",))
        task = stream.tasks[1]
        found = predict(learner.encode(task.load("test"), task).batch(slice(None)), task)["task-id"]
    rows = folder.rows(0).to_pylist()
    wanted = [row["correct"] for row in rows if row["task"] == "three"]
    assert torch.as_tensor(found.correct).tolist() == wanted


def test_a_cell_is_known_by_all_its_releases(tiny: Any, tmp_path: Path) -> None:
    digests = set()
    for other in "bc":
        stream = write_card(tiny, tmp_path, releases=[f"{CLIP}:a", f"{CLIP}:{other}"])
        digests.add(load_suite(write_suite(stream, tmp_path, "muscle")).cells[0].digest)
    assert len(digests) == 2


def test_a_forecast_counts_both_stages_of_every_task_and_release(tiny: Any, tmp_path: Path) -> None:
    stream = write_card(tiny, tmp_path)
    path = write_suite(stream, tmp_path, {"name": "naive-update", **QUICK}, {"name": "muscle", **QUICK}, budget=STEPS)
    found = forecast_suite(load_suite(path).cells, CPU)
    assert [cell.steps for cell in found.cells] == [2 * 2 * 12, 2 * 2 * 12 + 2 * 12]
    assert all(cell.train_seconds > 0 for cell in found.cells)


def test_releases_of_several_tokenizers_are_told_before_anything_is_trained() -> None:
    first = build_learner(LLAMA, 0, CPU)

    def build(name: str) -> Any:
        learner: Any = build_learner(name, 0, CPU)
        learner.tokens = TextTokens(ByteTokens(offset=4), name, ends_inputs=False)
        return learner

    with pytest.raises(ConfigError, match="releases must have one vocabulary"):
        require_one_vocabulary((LLAMA, f"{LLAMA}:b"), first, build)


@pytest.mark.parametrize("name", METRICS.names())
def test_metrics_that_suppose_a_version_a_task_are_undefined(name: str) -> None:
    report = compute_all(MATRIX)
    if name in ("average_accuracy", "mtil.last"):
        assert report.values[name] == pytest.approx(0.7)
    else:
        assert report.values[name] is None
        with pytest.raises(MetricError, match="versions are releases"):
            METRICS.get(name).value(MATRIX)


def test_a_matrix_of_releases_has_a_row_a_release_and_no_csv_that_reads_as_another(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="wanted 3 versions x 3 tasks"):
        ScoreMatrix(("x", "y", "z"), np.zeros((4, 3)), UPDATES)
    assert MATRIX.to_csv(tmp_path / "R.csv").splitlines() == [
        "release,x,y,z", "0,0.0,0.1,0.2", "1,0.3,0.4,0.5", "2,0.6,0.7,0.8"
    ]  # fmt: skip
    with pytest.raises(DataError, match="wanted the header to start with 'version', got 'release'"):
        ScoreMatrix.from_csv(tmp_path / "R.csv")
    other = ScoreMatrix(("x", "y", "z"), MATRIX.scores, (UPDATES[0], Adopt(release="v3")))
    assert other != MATRIX
    matrix_figure(MATRIX, "releases", tmp_path / "R.png")
    assert (tmp_path / "R.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"based_on": None}, "based_on is missing"),
        ({"releases": [f"{CLIP}:a"]}, "releases must be at least two different learners"),
        ({"releases": [f"{CLIP}:a", f"{CLIP}:a"]}, "releases must be at least two different learners"),
        ({"learner": f"{CLIP}:b"}, "learner must be the first release"),
        ({"protocols": ["task-id", "union"]}, "protocol union does not fit"),
        ({"data": "data"}, "data belongs into the card of"),
        ({"shots": 2}, "shots belongs into the card of"),
        (
            {"tasks": [{"name": "on", "kind": "classification", "metric": "accuracy"}]},
            "no such task: did you mean 'one'",
        ),
        (
            {"tasks": [{"name": "one", "kind": "classification", "metric": "rouge"}]},
            "must be as in tiny: classification",
        ),
        ({"loader": "image-parquet", "data": "data", "based_on": None}, "releases are not for loader 'image-parquet'"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(changes: dict[str, Any], message: str, tiny: Any, tmp_path: Path) -> None:
    if changes.get("loader") == "image-parquet":
        (tmp_path / "data").symlink_to(Path(tiny.stream).parent / "data")
    with pytest.raises(ConfigError, match=message):
        load_stream(write_card(tiny, tmp_path, **changes))


def test_an_unknown_release_is_refused_when_the_card_is_read(tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="unknown learner 'mini-lama'"):
        load_stream(write_card(tiny, tmp_path, releases=[f"{CLIP}:a", "mini-lama:v2"]))


def test_update_mini_takes_tasks_of_text_open() -> None:
    stream, base = load_stream("update-mini"), {task.name: task for task in load_stream("text-open").tasks}
    assert stream.releases == ("mini-llama:v1", "mini-llama:v2")
    assert stream.last_version == 2
    assert [task.classes for task in stream.tasks] == [base[task.name].classes for task in stream.tasks]
