"""Download of a cell's ledger from its MLflow run."""

import os
from pathlib import Path

from clbench.core.errors import DataError
from clbench.core.mlflow_store import one_line, one_line_errors
from clbench.reports.flips.predictions import Origin
from clbench.reports.forgotten import FILE as FORGOTTEN
from clbench.reports.leaderboard.board_store import RunStore


def download_ledger(tracking_uri: str, experiment: str, run_id: str, folder: Path) -> tuple[str, Path, Origin | None]:
    """Download `ledger.parquet` of a finished cell, and `forget.json` into the same folder if the run has it.

    Args:
        tracking_uri: Address of the MLflow store.
        experiment: Name of the experiment that has the run.
        run_id: Id of the run, 32 hexadecimal digits.
        folder: Folder for the files.

    Returns:
        Name of the run, path of the file, and where the samples are from (None if the run does not say).

    Raises:
        DataError: If the run is not that of a cell, or did not finish.
        TrackingError: If the store does not answer, or has no such run.
    """
    RunStore(tracking_uri, experiment)  # refuses a missing store at once; MLflow would create it or wait for it
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    with one_line_errors(tracking_uri):
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=tracking_uri)
        run = client.get_run(run_id)
        tags, status = run.data.tags, run.info.status
        if tags.get("clbench.kind") != "cell":
            raise DataError(f"run {run_id}: wanted the run of a cell, got one of kind {tags.get('clbench.kind')!r}")
        if status != "FINISHED":
            reason = one_line(tags.get("clbench.error") or "no error was recorded")
            raise DataError(f"run {run_id}: wanted a finished run, its status is {status}: {reason}")
        path = Path(client.download_artifacts(run_id, "ledger.parquet", str(folder)))
        if any(artifact.path == FORGOTTEN for artifact in client.list_artifacts(run_id)):
            client.download_artifacts(run_id, FORGOTTEN, str(folder))
    stream, split = tags.get("clbench.stream"), tags.get("clbench.split")
    origin = Origin(stream, split) if stream and split else None
    return f"{run.info.run_name} ({run_id[:8]})", path, origin
