"""The MLflow logger for Avalanche users."""

import contextlib
import itertools
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from avalanche.benchmarks import benchmark_from_datasets
from avalanche.benchmarks.utils import DataAttribute, TaskAwareSupervisedClassificationDataset, TaskLabels
from avalanche.evaluation.metric_results import AlternativeValues, TensorImage
from avalanche.evaluation.metrics import StreamConfusionMatrix, accuracy_metrics, loss_metrics
from avalanche.training.plugins import EvaluationPlugin
from avalanche.training.supervised import Naive
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from PIL import Image
from torch import nn
from torch.utils.data import TensorDataset

from clbench.benchmarks.tracking import AvalancheMLflowLogger
from clbench.core.errors import TrackingError
from clbench.core.mlflow_store import allowed_name

NUMBER = itertools.count()
"""For names of their own, as there is one warning a name."""


@pytest.fixture
def uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store of the test's own; artifacts go below the working folder."""
    monkeypatch.chdir(tmp_path)
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture(scope="module")
def open_logger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AvalancheMLflowLogger]:
    """One that several tests share."""
    folder = tmp_path_factory.mktemp("store")
    client = MlflowClient(store := f"sqlite:///{folder / 'mlflow.db'}")
    client.create_experiment("shared", artifact_location=folder.as_uri())
    with AvalancheMLflowLogger(tracking_uri=store, experiment="shared") as logger:
        yield logger


def dataset(start: int) -> TaskAwareSupervisedClassificationDataset:
    """Twelve samples of two classes."""
    labels = torch.arange(12) % 2 + start
    data = TensorDataset(torch.nn.functional.one_hot(labels, 4).float(), labels)
    attributes = [DataAttribute(labels.tolist(), "targets"), TaskLabels([0] * 12)]
    return TaskAwareSupervisedClassificationDataset([data], data_attributes=attributes)


def test_a_training_of_avalanche_ends_up_in_mlflow(uri: str) -> None:
    torch.manual_seed(0)
    model = nn.Linear(4, 4)
    scenario = benchmark_from_datasets(train=[dataset(0), dataset(2)], test=[dataset(0), dataset(2)])
    with AvalancheMLflowLogger(run_name="naive", tracking_uri=uri) as logger:
        logger.log_params({"lr": 0.5, "mem size!": 3, "long": "x" * 7000})
        metrics = accuracy_metrics(epoch=True, stream=True), loss_metrics(minibatch=True)
        matrix = StreamConfusionMatrix(num_classes=4, save_image=False)
        evaluator = EvaluationPlugin(*metrics, matrix, loggers=[logger])
        optimizer = torch.optim.SGD(model.parameters(), 0.5)
        strategy = Naive(model=model, optimizer=optimizer, train_mb_size=4, train_epochs=2, evaluator=evaluator)
        for experience in scenario.train_stream:
            strategy.train(experience, eval_streams=[])
            results = strategy.eval(scenario.test_stream)
    client = MlflowClient(uri)
    run = client.get_run(logger.run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "naive")
    assert run.data.params.pop("long").startswith("x" * 5900)
    assert run.data.params == {"lr": "0.5", allowed_name("mem size!"): "3"}
    losses = client.get_metric_history(logger.run_id, "Loss_MB/train_phase/train_stream")
    assert [loss.step for loss in losses] == list(range(12))
    name = "Top1_Acc_Stream/eval_phase/test_stream"
    assert run.data.metrics[name] == pytest.approx(results[name])
    kept = client.list_artifacts(logger.run_id, "ConfusionMatrix_Stream/eval_phase/test_stream")
    assert [Path(item.path).suffix for item in kept] == [".csv", ".csv"]


def test_images_and_matrices_become_artifacts(uri: str) -> None:
    matrix = torch.tensor([[1, 2], [3, 4]])
    with AvalancheMLflowLogger(tracking_uri=uri) as logger:
        logger.log_single_metric("confusion", AlternativeValues(Image.new("RGB", (4, 4)), matrix), 7)
        logger.log_single_metric("curve", Figure(), 8)
        logger.log_single_metric("grid", TensorImage(torch.rand(3, 4, 4)), 9)
    client = MlflowClient(uri)
    paths = [
        item.path for name in ("confusion", "curve", "grid") for item in client.list_artifacts(logger.run_id, name)
    ]
    assert paths == ["confusion/00000007.csv", "confusion/00000007.png", "curve/00000008.png", "grid/00000009.png"]
    table = Path(client.download_artifacts(logger.run_id, paths[0])).read_text(encoding="utf-8")
    assert table == "1,2\n3,4\n"


def test_values_wait_for_a_full_batch(uri: str) -> None:
    logger = AvalancheMLflowLogger(tracking_uri=uri, every=3)
    client = MlflowClient(uri)
    counts = []
    for step in range(4):
        logger.log_single_metric("a", float(step), step)
        counts.append(len(client.get_metric_history(logger.run_id, "a")))
    assert counts == [0, 0, 3, 3]
    logger.close()
    logger.close()
    assert len(client.get_metric_history(logger.run_id, "a")) == 4


def test_numbers_of_every_kind_become_metrics_and_the_rest_does_not_fail(uri: str) -> None:
    with AvalancheMLflowLogger(tracking_uri=uri) as logger:
        for name, value in (
            ("tensor", torch.tensor(2.0)),
            ("numpy", np.float32(4.0)),
            ("array", np.array([[5]])),
            ("either", AlternativeValues(Figure(), 3)),
            ("infinite", math.inf),
            ("huge", 10**400),
            ("text", "words"),
            ("checkpoint", b"bytes"),
        ):
            logger.log_single_metric(name, value, 0)
    metrics = MlflowClient(uri).get_run(logger.run_id).data.metrics
    assert math.isnan(metrics.pop("infinite"))
    assert math.isnan(metrics.pop("huge"))
    assert metrics == {"tensor": 2.0, "numpy": 4.0, "array": 5.0, "either": 3.0}


ODD = ("a//b", "/a", "a/", "", ".", "..", "../a", "a/../b", "a/./b", "a b\n", "x" * 300, "Größe: %", "\ud800", "a\0b")


def log_odd_names(logger: AvalancheMLflowLogger) -> None:
    """Each twice as a number, one as a matrix and all as settings, and a sound one among them."""
    for step in (0, 1):
        for number, name in enumerate(ODD):
            logger.log_single_metric(name, number, step)
        logger.log_single_metric("sound", 0.5, step)
    logger.log_single_metric("a//b", torch.ones(2, 2), 0)
    logger.log_params({name: name for name in ODD})
    logger.close()


def test_names_that_mlflow_refuses_are_mended_and_told_once(uri: str) -> None:
    logger = AvalancheMLflowLogger(tracking_uri=uri)
    with pytest.warns(UserWarning, match="as MLflow does not take its name") as warned:
        log_odd_names(logger)
    run = MlflowClient(uri).get_run(logger.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {allowed_name(name): float(number) for number, name in enumerate(ODD)} | {"sound": 0.5}
    assert set(run.data.params) == {allowed_name(name) for name in ODD}
    assert [item.path for item in MlflowClient(uri).list_artifacts(logger.run_id, allowed_name("a//b"))] == [
        f"{allowed_name('a//b')}/00000000.csv"
    ]
    assert len(warned) == len(ODD)
    assert f"metric 'a//b' is logged as {allowed_name('a//b')!r}" in str(warned[0].message)


@pytest.mark.parametrize("step", [None, math.nan, math.inf, 0.5, 2**63, "3"])
def test_a_value_without_a_step_is_left_out_and_the_others_stay(open_logger: AvalancheMLflowLogger, step: Any) -> None:
    name = f"odd {next(NUMBER)}"
    with pytest.warns(UserWarning, match=f"metric '{name}' is left out: its step must be a whole number"):
        open_logger.log_single_metric(name, 1.0, step)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is told once
        open_logger.log_single_metric(name, 1.0, step)
    open_logger.log_single_metric("b", 1.0, np.int64(3))  # type: ignore[arg-type]
    open_logger.flush()


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1},
        [1.0, 2.0],
        None,
        1j,
        torch.zeros(2, 2, 2),
        torch.tensor(1j),
        TensorImage(torch.zeros(2, 2)),
        TensorImage(torch.zeros(7, 2, 2)),
        Image.new("F", (2, 2)),
        Image.new("RGB", (0, 2)),
        AlternativeValues({"a": 1}, [2]),
    ],
)
def test_a_value_that_is_nothing_to_log_is_left_out(open_logger: AvalancheMLflowLogger, value: object) -> None:
    name = f"odd {next(NUMBER)}"
    with pytest.warns(UserWarning, match=f"'{name}' is left out: wanted a number, a figure, an image or a matrix"):
        open_logger.log_single_metric(name, value, 0)


def test_odd_matrices_are_kept(open_logger: AvalancheMLflowLogger) -> None:
    for name, value in (("empty", torch.zeros(0)), ("wide", torch.zeros(2, 0)), ("numpy", np.ones((2, 2)))):
        open_logger.log_single_metric(name, value, 0)


def test_values_that_a_store_did_not_take_come_with_the_next_ones(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    logger = AvalancheMLflowLogger(tracking_uri=uri)

    def away(*_: object, **__: object) -> None:
        raise MlflowException("the store is away")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_batch", away)
        for step in range(1003):
            with pytest.raises(TrackingError) if step >= 999 else contextlib.nullcontext():
                logger.log_single_metric("a", 1.0, step)
        with pytest.raises(TrackingError, match="the store is away"):
            logger.close()
    client = MlflowClient(uri)
    assert client.get_run(logger.run_id).info.status == "FAILED"
    logger.close()
    assert client.get_run(logger.run_id).info.status == "FINISHED"
    assert len(client.get_metric_history(logger.run_id, "a")) == 1003


def test_a_run_that_is_given_is_left_open(uri: str) -> None:
    client = MlflowClient(uri)
    run = client.create_run(client.create_experiment("mine")).info.run_id
    with AvalancheMLflowLogger(tracking_uri=uri, run_id=run) as logger:
        logger.log_single_metric("a", 1, 0)
    assert client.get_run(run).info.status == "RUNNING"
    assert client.get_run(run).data.metrics == {"a": 1.0}


def test_an_error_marks_the_run_as_failed(uri: str) -> None:
    with pytest.raises(RuntimeError), AvalancheMLflowLogger(tracking_uri=uri) as logger:
        raise RuntimeError
    assert MlflowClient(uri).get_run(logger.run_id).info.status == "FAILED"


def test_an_unknown_run_is_one_line(uri: str) -> None:
    with pytest.raises(TrackingError, match=r"tracking store sqlite.*nowhere"):
        AvalancheMLflowLogger(tracking_uri=uri, run_id="nowhere")


def test_its_experiment_is_one_of_runs_and_must_not_be_deleted(uri: str) -> None:
    AvalancheMLflowLogger(tracking_uri=uri).close()
    client = MlflowClient(uri)
    found = client.get_experiment_by_name("clbench-avalanche")
    assert found is not None
    assert found.tags == {"mlflow.experimentKind": "custom_model_development"}
    client.delete_experiment(found.experiment_id)
    with pytest.raises(TrackingError, match="experiment 'clbench-avalanche' is deleted: `MLFLOW_TRACKING_URI="):
        AvalancheMLflowLogger(tracking_uri=uri)
