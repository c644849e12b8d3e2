"""The connection to MLflow: one place that turns its many exceptions into one line."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from clbench.errors import TrackingError
from clbench.reports.leaderboard.store import shown_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "clbench"


def default_uri(out: Path) -> str:
    """The tracking store: `MLFLOW_TRACKING_URI` if set, else SQLite in the output folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{out.resolve() / 'mlflow.db'}"


@contextlib.contextmanager
def one_line_errors(uri: str) -> Iterator[None]:
    """Raise what MLflow and its HTTP client raise as a `TrackingError` in one line."""
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError, OSError, ImportError) as error:
        shown = shown_uri(uri)
        reason = " ".join(str(error).replace(uri, shown).split())[:200] or type(error).__name__
        raise TrackingError(f"tracking store {shown}: {reason}") from error


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

    for name in ("alembic", "mlflow", "mlflow.store.db.utils"):  # a new SQLite store otherwise prints its 40 migrations
        logging.getLogger(name).setLevel(logging.WARNING)

    with one_line_errors(uri):
        if uri.startswith("sqlite:///"):
            Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        client = MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is not None:
            return client, str(experiment.experiment_id)
        location = (out.resolve() / "artifacts").as_uri() if uri.startswith("sqlite:") else None
        return client, str(client.create_experiment(EXPERIMENT, artifact_location=location))
