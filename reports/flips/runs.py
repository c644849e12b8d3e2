"""The ledger of a run in MLflow."""

import os
from pathlib import Path

from clbench.core.errors import DataError
from clbench.core.mlflow_store import one_line, one_line_errors
from clbench.reports.flips.rows import Origin
from clbench.reports.leaderboard.board_store import RunStore


def download_ledger(tracking_uri: str, experiment: str, run_id: str, folder: Path) -> tuple[str, Path, Origin | None]:
    """Fetch `ledger.parquet` of a finished cell.

    Returns:
        What to call the run, the file, and which samples it is about, where the run says so.

    Raises:
        DataError: When the run is not that of a cell, or did not finish.
        TrackingError: When the store does not answer, or has no such run.
    """
    RunStore(tracking_uri, experiment)  # says at once when the store is not there, which MLflow would make or wait for
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
    stream, split = tags.get("clbench.stream"), tags.get("clbench.split")
    origin = Origin(stream, split) if stream and split else None
    return f"{run.info.run_name} ({run_id[:8]})", path, origin
