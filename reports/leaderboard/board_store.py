"""Read access to an MLflow store: opening it creates nothing, and failures are one line."""

import contextlib
import os
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, cast, final

from clbench.core import strict_json
from clbench.core.errors import CheckpointError, DataError, TrackingError
from clbench.core.mlflow_store import one_line, one_line_errors, shown_uri, sqlite_file
from clbench.core.storage import read_json

if TYPE_CHECKING:
    from mlflow.entities import Run

SECONDS_TO_ANSWER = 30
DEAF = "does not answer"
QUIET = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"


@final
class RunStore:
    """Read access to the cells of one experiment.

    Args:
        tracking_uri: As MLflow takes it: `sqlite:///runs.db`, `https://...`.
        experiment: Name of the experiment.

    Raises:
        TrackingError: When the store does not answer, refuses, or has no such experiment.
    """

    def __init__(self, tracking_uri: str, experiment: str) -> None:
        """Look the experiment up, so that a store that does not answer is an error at once."""
        self._uri, self._shown = tracking_uri, shown_uri(tracking_uri)
        self._experiment = experiment
        with one_line_errors(tracking_uri, DEAF):
            _check_that_it_answers(tracking_uri)
            from mlflow import MlflowClient

            self._client = MlflowClient(tracking_uri=tracking_uri)
            found = self._client.get_experiment_by_name(experiment)
        if found is None:
            raise TrackingError(f"tracking store {self._shown}: no experiment named {experiment!r}")
        self._id: str = found.experiment_id

    def cells(self, page_size: int = 1000) -> "Iterator[Run]":
        """All runs of cells that were not deleted, page by page.

        Raises:
            TrackingError: When the store stops answering, or the experiment holds no cells.
        """
        token: str | None = None
        number = 0
        while number == 0 or token:
            with one_line_errors(self._uri, DEAF):
                page = self._client.search_runs(
                    [self._id], "tags.`clbench.kind` = 'cell'", max_results=page_size, page_token=token
                )
            if number == 0 and not page:
                empty = f"experiment {self._experiment!r} has no clbench runs"
                raise TrackingError(f"tracking store {self._shown}: {empty}")
            yield from page
            number, token = number + len(page), page.token

    def fetch(self, run_id: str, names: Iterable[str], into: Path) -> None:
        """Download artifacts of a run into a folder; those that are missing are left out.

        Args:
            run_id: Id of the run.
            names: Names of the artifacts.
            into: The folder.
        """
        from mlflow.exceptions import MlflowException

        with _no_progress_bar():
            for name in names:
                with contextlib.suppress(MlflowException, OSError):
                    self._client.download_artifacts(run_id, name, str(into))

    def read_json(self, run_id: str, name: str, place: Path | None = None) -> dict[str, object]:
        """Read one JSON artifact of a run.

        Args:
            run_id: Id of the run.
            name: Name of the artifact.
            place: Folder of the run's artifacts, if it is on this machine.

        Raises:
            DataError: When it is missing or not a JSON object.
        """
        if place is not None:
            try:
                return read_json(place / name)
            except CheckpointError as error:
                reason = one_line(error).removeprefix(f"{place / name}: ")
                raise DataError(f"{name} of run {run_id} cannot be read: {reason}") from None
        with tempfile.TemporaryDirectory() as folder, _no_progress_bar():
            from mlflow.exceptions import MlflowException

            try:
                value = strict_json.loads(
                    Path(self._client.download_artifacts(run_id, name, folder)).read_text("utf-8")
                )
            except (MlflowException, OSError, ValueError) as error:
                raise DataError(f"{name} of run {run_id} cannot be read: {one_line(error)}") from error
        if not isinstance(value, dict):
            raise DataError(f"{name} of run {run_id}: wanted a JSON object, got {type(value).__name__}")
        return cast("dict[str, object]", value)


def artifact_folder(run: "Run") -> Path | None:
    """The folder of a run's artifacts, if it is on this machine."""
    parts = urllib.parse.urlsplit(run.info.artifact_uri or "")
    path = Path(urllib.request.url2pathname(parts.path))
    return path if parts.scheme == "file" and path.is_dir() else None


def _check_that_it_answers(uri: str) -> None:
    """Fail early: MLflow would create a missing database, and would wait minutes for a server that is down."""
    if (file := sqlite_file(uri)) and not file.is_file():
        raise FileNotFoundError("no such file")
    if uri.startswith(("http://", "https://")):
        _knock(f"{shown_uri(uri).rstrip('/')}/health")


def _knock(address: str) -> None:
    try:
        urllib.request.urlopen(address, timeout=SECONDS_TO_ANSWER).close()  # noqa: S310 (only called for http and https)
    except urllib.error.HTTPError:  # an answer, if not a kind one: MLflow will say what it refuses
        pass
    except (HTTPException, ValueError) as error:
        raise ConnectionError(f"not the address of an HTTP server: {error}") from error


@contextlib.contextmanager
def _no_progress_bar() -> Iterator[None]:
    """Turn off the progress bar that MLflow draws for every file."""
    before = os.environ.get(QUIET)
    os.environ[QUIET] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ[QUIET]
        else:
            os.environ[QUIET] = before
