"""A logger for users with their own Avalanche code: logs the metrics of its `EvaluationPlugin` to MLflow."""

import logging
import math
import time
import warnings
from collections.abc import Mapping
from numbers import Real
from types import TracebackType
from typing import Any, Self, final

import numpy as np
from avalanche.evaluation.metric_results import AlternativeValues, TensorImage
from avalanche.logging import BaseLogger
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.entities import Metric
from PIL.Image import Image
from torch import Tensor

from clbench.benchmarks.tracking.store import METRICS, create_run, log_parameters, open_experiment
from clbench.core.mlflow_store import allowed_name, one_line_errors

PNG = ("1", "L", "LA", "I", "I;16", "P", "RGB", "RGBA")
"""Modes of images that a PNG file can have."""


@final
class AvalancheMLflowLogger(BaseLogger):  # type: ignore[misc]  # avalanche has no types
    """Logs every metric value of an Avalanche strategy to one MLflow run.

        with AvalancheMLflowLogger(run_name="naive") as logger:
            evaluator = EvaluationPlugin(accuracy_metrics(epoch=True, stream=True), loggers=[logger])

    Numbers become metrics with Avalanche's x as step; NaN and infinity are logged as NaN. Figures, images and
    matrices (a confusion matrix is both) become artifacts under the metric's name, numbered by step. Texts and
    checkpoints are not logged. A name that MLflow refuses is changed (see `allowed_name`), any other value is left out;
    both cause one warning for each name. Values are sent when there are `every` of them or a phase of the strategy
    ends; values that the store does not take then are sent again with the next ones.

    Args:
        run_name: Name of the new run; MLflow makes one up if not given.
        tracking_uri: Address of the tracking store; MLflow's current one if not given.
        experiment: Name of the experiment, made if it is not there.
        run_id: Id of an existing run to log to, which is left open at the end; a new run if not given.
        every: Number of values in one request, at most 1000.

    Raises:
        TrackingError: When the store does not answer or does not know the run.
    """

    def __init__(
        self,
        run_name: str | None = None,
        tracking_uri: str | None = None,
        experiment: str = "clbench-avalanche",
        run_id: str | None = None,
        every: int = METRICS,
    ) -> None:
        super().__init__()
        logging.getLogger("alembic").setLevel(logging.WARNING)  # a new SQLite store otherwise prints its migrations
        self._waiting: list[Metric] = []
        self._every = min(every, METRICS)
        self._warned: set[str] = set()
        self._owned = run_id is None
        self._closed = False
        self._uri = tracking_uri or ""
        with one_line_errors(self._uri):
            self._client = MlflowClient(tracking_uri=tracking_uri)
            self._uri = self._client.tracking_uri
            self.run_id: str = self._new_run(experiment, run_name) if run_id is None else self._known_run(run_id)

    def log_single_metric(self, name: str, value: object, x_plot: int) -> None:
        """Log one value; Avalanche calls this.

        Args:
            name: Name of the metric.
            value: Number, figure, image or matrix.
            x_plot: Step of the value.
        """
        name, step = str(name), _step(x_plot)
        if step is None:
            self._warn(name, f"is left out: its step must be a whole number of 64 bits, got {x_plot!r:.40}")
            return
        values = value.alternatives if isinstance(value, AlternativeValues) else (value,)
        numbers = [number for number in map(_number, values) if number is not None]
        if numbers:
            self._add(name, numbers[0], step)
            return
        kept = [self._log_artifact(name, step, alternative) for alternative in values]
        if not any(kept) and not all(isinstance(alternative, str | bytes) for alternative in values):
            wanted = "a number, a figure, an image or a matrix"
            self._warn(name, f"is left out: wanted {wanted}, got {type(values[0]).__name__}")

    def log_params(self, parameters: Mapping[str, object]) -> None:
        """Log settings; MLflow does not let a value change afterwards."""
        with one_line_errors(self._uri):
            log_parameters(self._client, self.run_id, parameters)

    def flush(self) -> None:
        """Send what is waiting."""
        while self._waiting:  # more than a batch, where the store did not take earlier ones
            with one_line_errors(self._uri):
                self._client.log_batch(self.run_id, metrics=self._waiting[:METRICS])
            del self._waiting[:METRICS]

    def close(self, status: str = "FINISHED") -> None:
        """Send what is waiting and end the run if it is this logger's own; does nothing the second time.

        A run that lacks values ends as failed; to close it again sends them.
        """
        if self._closed:
            return
        try:
            self.flush()
            self._closed = True
        finally:
            if self._owned:
                with one_line_errors(self._uri):
                    self._client.set_terminated(self.run_id, status if self._closed else "FAILED")

    def after_training_exp(self, *_: Any, **__: Any) -> None:
        """An experience is learnt."""
        self.flush()

    def after_eval(self, *_: Any, **__: Any) -> None:
        """An evaluation is done."""
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close("FINISHED" if kind is None else "FAILED" if issubclass(kind, Exception) else "KILLED")

    def _new_run(self, experiment: str, run_name: str | None) -> str:
        owner = open_experiment(self._client, experiment)
        return create_run(self._client, owner, run_name)

    def _known_run(self, run_id: str) -> str:
        return str(self._client.get_run(run_id).info.run_id)

    def _add(self, name: str, number: float, step: int) -> None:
        number = number if math.isfinite(number) else math.nan  # MLflow makes a huge number of infinity
        self._waiting.append(Metric(self._name(name), number, int(time.time() * 1000), step))
        if len(self._waiting) >= self._every:
            self.flush()

    def _name(self, name: str) -> str:
        if (allowed := allowed_name(name)) != name:
            self._warn(name, f"is logged as {allowed!r}, as MLflow does not take its name")
        return allowed

    def _warn(self, name: str, problem: str) -> None:
        if name not in self._warned:
            self._warned.add(name)
            warnings.warn(f"metric {name!r} {problem}", stacklevel=3)

    def _log_artifact(self, name: str, step: int, value: object) -> bool:
        """Log a value that is not a number; False where it cannot be shown."""
        path = f"{allowed_name(name)}/{step:08d}"
        with one_line_errors(self._uri):
            match value:
                case Figure():
                    self._client.log_figure(self.run_id, value, f"{path}.png")
                case Image() if value.width and value.height and value.mode in PNG:
                    self._client.log_image(self.run_id, value, f"{path}.png")
                case TensorImage() if value.image.ndim == 3 and value.image.shape[0] in (1, 3, 4):
                    image = value.image.detach().permute(1, 2, 0).float().clamp(0, 1).cpu().numpy()
                    self._client.log_image(self.run_id, image, f"{path}.png")
                case Tensor() | np.ndarray() if value.ndim in (1, 2):
                    rows = value.tolist() if value.ndim == 2 else [value.tolist()]
                    table = "".join(f"{','.join(map(str, row))}\n" for row in rows)
                    self._client.log_text(self.run_id, table, f"{path}.csv")
                case _:
                    return False
        self._name(name)
        return True


def _number(value: object) -> float | None:
    """A value as a metric, or None where it is not one number."""
    if isinstance(value, Tensor | np.ndarray | np.generic) and math.prod(value.shape) == 1:
        value = value.item()
    if not isinstance(value, Real):
        return None
    try:
        return float(value)
    except OverflowError:  # an integer beyond any float
        return math.inf


def _step(value: object) -> int | None:
    """A whole number that MLflow's databases hold, or None."""
    number = value if isinstance(value, int) else _number(value)
    if number is None or not -(2**63) <= number < 2**63 or number != int(number):  # NaN is not within any bounds
        return None
    return int(number)
