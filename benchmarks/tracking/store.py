"""The connection to MLflow, and its default address."""

import contextlib
import fcntl
import math
import os
import re
import shlex
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from clbench.core.errors import TrackingError
from clbench.core.mlflow_store import NAME, allowed_name, fitting, one_line_errors, shown_uri, sqlite_file, sqlite_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

EXPERIMENT = "clbench"
KIND = "mlflow.experimentKind"
"""Tag of an experiment for pages that go by it. Those of MLflow 3.10.0 and 3.17.2 do not: see `runs_page`."""
OF_RUNS = "custom_model_development"
GUESSED = ("", "no_inferred_type", "genai_development_inferred", "custom_model_development_inferred")
"""Kinds that no user chose: MLflow's page writes them when it opens an experiment without one."""
METRICS = 1000
"""Most metrics that MLflow takes at once."""
PARAMETERS = 25
"""MLflow takes 100 parameters and a megabyte at once, and a character can become six."""
PARAMETER, TAG = 6000, 8000
"""Most characters of a parameter's value and a tag's."""
SHOWN = "workflowType=machine_learning&orderByKey=attributes.run_name&orderByAsc=true"
"""What MLflow's page of runs shows: pages for training, runs by name."""
UI = "http://127.0.0.1:5000"
"""Default address of `mlflow ui`."""


def default_uri(out: Path) -> str:
    """The tracking store: `MLFLOW_TRACKING_URI` if set, else SQLite in the output folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or sqlite_uri(out.resolve() / "mlflow.db")


def connect(uri: str, out: Path) -> tuple["MlflowClient", str]:
    """A client, and the id of the experiment `clbench`, made if need be.

    Args:
        uri: The tracking store.
        out: Where artifacts go if the store is a local database.

    Raises:
        TrackingError: When the store does not answer, within seconds.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # the default waits for minutes
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    import logging

    from mlflow import MlflowClient

    for name in ("alembic", "mlflow"):  # a new SQLite store otherwise prints its 40 migrations
        logging.getLogger(name).setLevel(logging.WARNING)

    with one_line_errors(uri):
        location = (out.resolve() / "artifacts").as_uri() if uri.startswith("sqlite:") else None
        if location and (file := sqlite_file(uri)):
            file.parent.mkdir(parents=True, exist_ok=True)
            if not file.exists():
                _make_whole(file, location)
            _pragma(file, "journal_mode=WAL")
        client = MlflowClient(tracking_uri=uri)
        return client, open_experiment(client, EXPERIMENT, location)


def _make_whole(file: Path, artifacts: str) -> None:
    """Make a new SQLite store, whole or not at all: MLflow never opens one of which a kill has left half the tables."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    aside = file.with_name(f".{file.name}.part")
    with file.with_name(f".{file.name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if file.exists():  # another process has made it meanwhile
            return
        for left in (aside, aside.with_name(f"{aside.name}-journal")):
            left.unlink(missing_ok=True)
        made: Any = cast(Any, SqlAlchemyStore)(sqlite_uri(aside), artifacts)  # MLflow has no types here
        made.engine.dispose()
        os.replace(aside, file)


def _pragma(file: Path, text: str) -> None:
    """Set a mode of an SQLite file, if it can be set now.

    In the mode WAL a write takes a third of the time, and pages can be read meanwhile.
    """
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(file, timeout=1)) as database:
        database.execute(f"PRAGMA {text}")


def settle(uri: str) -> None:
    """Bring everything into the file of a local store, so that it can be copied alone."""
    if (file := sqlite_file(uri)) and file.is_file():
        _pragma(file, "wal_checkpoint(TRUNCATE)")


def open_experiment(client: "MlflowClient", name: str, location: str | None = None) -> str:
    """The id of an experiment, made if need be, and marked as one of training; a kind that a user has chosen stays.

    Args:
        client: Client of the store.
        name: Name of the experiment.
        location: Place of the artifacts of a new experiment; MLflow's default if not given.

    Raises:
        TrackingError: When it is deleted.
    """
    found = client.get_experiment_by_name(name)
    if found is None:
        return str(client.create_experiment(name, artifact_location=location, tags={KIND: OF_RUNS}))
    if found.lifecycle_stage == "deleted":  # its name stays taken and it takes no runs
        store, number = shlex.quote(shown_uri(client.tracking_uri)), shlex.quote(str(found.experiment_id))
        how = f"MLFLOW_TRACKING_URI={store} mlflow experiments restore --experiment-id {number}"
        where = f"tracking store {shown_uri(client.tracking_uri)}: experiment {name!r}"
        raise TrackingError(f"{where} is deleted: `{how}` brings it back")
    if found.tags.get(KIND, "") in GUESSED:
        client.set_experiment_tag(found.experiment_id, KIND, OF_RUNS)
    return str(found.experiment_id)


def log_metrics(client: "MlflowClient", run: str, metrics: "Sequence[Metric]") -> None:
    """Log any number of metrics under names that MLflow takes; infinity and NaN are left out.

    Args:
        client: Client of the store.
        run: Id of the run.
        metrics: Values with time and step, and the id of a logged model if they are of one.
    """
    from mlflow.entities import Metric

    sound = [
        Metric(allowed_name(metric.key), metric.value, metric.timestamp, metric.step, model_id=metric.model_id)
        for metric in metrics
        if math.isfinite(metric.value)
    ]
    for start in range(0, len(sound), METRICS):
        client.log_batch(run, metrics=sound[start : start + METRICS])


def log_parameters(client: "MlflowClient", run: str, parameters: Mapping[str, object]) -> None:
    """Log any number of settings under names that MLflow takes; values that are too long are cut.

    Args:
        client: Client of the store.
        run: Id of the run.
        parameters: Values by name.
    """
    from mlflow.entities import Param

    items = [Param(allowed_name(str(key)), fitting(str(value), PARAMETER)) for key, value in parameters.items()]
    for start in range(0, len(items), PARAMETERS):
        client.log_batch(run, params=items[start : start + PARAMETERS])


def create_run(client: "MlflowClient", experiment: str, name: str | None, tags: Mapping[str, str] | None = None) -> str:
    """The id of a new run; a name and tags that are too long are cut.

    Args:
        client: Client of the store.
        experiment: Id of the experiment.
        name: Name of the run; MLflow makes one up if None.
        tags: Tags of the run.
    """
    values = {key: fitting(value, TAG) for key, value in (tags or {}).items()}
    run_name = None if name is None else fitting(name, NAME)
    return str(client.create_run(experiment, tags=values, run_name=run_name).info.run_id)


def model_name(name: str) -> str:
    """A name that MLflow accepts for a logged model: it refuses slashes, dots, colons, quotes and percent signs."""
    return re.sub(r"[^\w-]+", "-", name, flags=re.ASCII).strip("-")[:NAME]


def runs_page(uri: str, experiment: str) -> str:
    """Address of the page with the runs of an experiment: on a server, or of `mlflow ui` on this machine.

    The bare address of an experiment opens pages of traces and judges, which clbench does not use. Sorted by name, the
    runs of cells are not hidden below that of their suite, and the charts have lines.
    """
    server = shown_uri(uri).rstrip("/") if uri.startswith(("http://", "https://")) else UI
    return f"{server}/#/experiments/{experiment}/runs?{SHOWN}"
