"""The connection to MLflow, and where it is when nobody says."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from clbench.errors import TrackingError
from clbench.mlflow_store import one_line_errors, shown_uri, sqlite_file, sqlite_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "clbench"


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
        if file := sqlite_file(uri):
            file.parent.mkdir(parents=True, exist_ok=True)
        client = MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is not None:
            if experiment.lifecycle_stage == "deleted":  # its name stays taken and it takes no runs
                store, number = shlex.quote(shown_uri(uri)), shlex.quote(str(experiment.experiment_id))
                how = f"MLFLOW_TRACKING_URI={store} mlflow experiments restore --experiment-id {number}"
                where = f"tracking store {shown_uri(uri)}: experiment {EXPERIMENT!r}"
                raise TrackingError(f"{where} is deleted: `{how}` brings it back")
            return client, str(experiment.experiment_id)
        location = (out.resolve() / "artifacts").as_uri() if uri.startswith("sqlite:") else None
        return client, str(client.create_experiment(EXPERIMENT, artifact_location=location))
