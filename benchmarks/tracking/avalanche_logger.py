"""A logger for people with their own Avalanche code: what its `EvaluationPlugin` measures goes to MLflow."""

import logging
import math
import re
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, final

from avalanche.evaluation.metric_results import AlternativeValues, TensorImage
from avalanche.logging import BaseLogger
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from PIL.Image import Image
from torch import Tensor

from clbench.benchmarks.tracking.store import open_experiment
from clbench.mlflow_store import one_line_errors

METRICS_A_BATCH = 1000
PARAMETERS_A_BATCH = 100
"""MLflow refuses larger requests."""


@final
class AvalancheMLflowLogger(BaseLogger):  # type: ignore[misc]  # avalanche has no types
    """Logs every metric value of an Avalanche strategy to one MLflow run.

        with AvalancheMLflowLogger(run_name="naive") as logger:
            evaluator = EvaluationPlugin(accuracy_metrics(epoch=True, stream=True), loggers=[logger])

    Numbers become metrics with Avalanche's x as step; NaN and infinity are logged as NaN. Figures, pictures and
    matrices (a confusion matrix is both) become artifacts under the metric's name, numbered by step. Texts and
    checkpoints are left to others. Values wait until `every` of them are there or a phase of the strategy ends.

    Args:
        run_name: Of the new run; MLflow makes one up if not given.
        tracking_uri: The tracking store; MLflow's current one if not given.
        experiment: Made if it is not there.
        run_id: Log to this run, which is then left open at the end, instead of a new one.
        every: How many values go into one request, at most 1000.

    Raises:
        TrackingError: When the store does not answer or does not know the run.
    """

    def __init__(
        self,
        run_name: str | None = None,
        tracking_uri: str | None = None,
        experiment: str = "clbench-avalanche",
        run_id: str | None = None,
        every: int = METRICS_A_BATCH,
    ) -> None:
        super().__init__()
        logging.getLogger("alembic").setLevel(logging.WARNING)  # a new SQLite store otherwise prints its migrations
        self._waiting: list[Metric] = []
        self._every = min(every, METRICS_A_BATCH)
        self._owned = run_id is None
        self._closed = False
        self._uri = tracking_uri or ""
        with one_line_errors(self._uri):
            self._client = MlflowClient(tracking_uri=tracking_uri)
            self._uri = self._client.tracking_uri
            self.run_id: str = self._new_run(experiment, run_name) if run_id is None else self._known_run(run_id)

    def log_single_metric(self, name: str, value: object, x_plot: int) -> None:
        """Take one value, as Avalanche calls it."""
        values = value.alternatives if isinstance(value, AlternativeValues) else (value,)
        numbers = [number for number in map(_number, values) if number is not None]
        if numbers:
            self._add(name, numbers[0], x_plot)
            return
        for alternative in values:
            self._log_artifact(f"{_allowed(name)}/{x_plot:08d}", alternative)

    def log_params(self, parameters: Mapping[str, object]) -> None:
        """Log settings; MLflow does not let a value change afterwards."""
        items = [Param(_allowed(key), str(value)) for key, value in parameters.items()]
        with one_line_errors(self._uri):
            for start in range(0, len(items), PARAMETERS_A_BATCH):
                self._client.log_batch(self.run_id, params=items[start : start + PARAMETERS_A_BATCH])

    def flush(self) -> None:
        """Send what is waiting."""
        if self._waiting:
            with one_line_errors(self._uri):
                self._client.log_batch(self.run_id, metrics=self._waiting)
            self._waiting = []

    def close(self, status: str = "FINISHED") -> None:
        """Send what is waiting and end the run if it is this logger's own; does nothing the second time."""
        if self._closed:
            return
        self.flush()
        if self._owned:
            with one_line_errors(self._uri):
                self._client.set_terminated(self.run_id, status)
        self._closed = True

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
        return str(self._client.create_run(owner, run_name=run_name).info.run_id)

    def _known_run(self, run_id: str) -> str:
        return str(self._client.get_run(run_id).info.run_id)

    def _add(self, name: str, number: float, step: int) -> None:
        number = number if math.isfinite(number) else math.nan  # MLflow makes a huge number of infinity
        self._waiting.append(Metric(_allowed(name), number, int(time.time() * 1000), int(step)))
        if len(self._waiting) >= self._every:
            self.flush()

    def _log_artifact(self, path: str, value: object) -> None:
        with one_line_errors(self._uri):
            match value:
                case Figure():
                    self._client.log_figure(self.run_id, value, f"{path}.png")
                case Image():
                    self._client.log_image(self.run_id, value, f"{path}.png")
                case TensorImage():
                    picture = value.image.permute(1, 2, 0).clamp(0, 1).cpu().numpy()
                    self._client.log_image(self.run_id, picture, f"{path}.png")
                case Tensor() if value.ndim in (1, 2):
                    rows = value.reshape(-1, value.shape[-1]).tolist()
                    table = "".join(f"{','.join(map(str, row))}\n" for row in rows)
                    self._client.log_text(self.run_id, table, f"{path}.csv")


def _number(value: object) -> float | None:
    """A value as a metric, or None where it is not one number."""
    if isinstance(value, bool | int | float):
        return float(value)
    if isinstance(value, Tensor) and value.numel() == 1:
        return float(value)
    return None


def _allowed(name: str) -> str:
    """A name that MLflow takes: at most 250 letters, digits and `_-. /`."""
    return re.sub(r"[^\w\-. /]", "_", name, flags=re.ASCII)[:250]
