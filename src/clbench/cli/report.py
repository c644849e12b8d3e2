"""`clbench report`: the leaderboard of the runs in MLflow."""

from pathlib import Path
from typing import Annotated, Optional

import typer


def report(
    out: Annotated[
        Path, typer.Option(help="Folder of the runs. The leaderboard is written to its subfolder `leaderboard`.")
    ] = Path("clbench-runs"),
    tracking_uri: Annotated[
        Optional[str], typer.Option(help="MLflow store to read. Default: $MLFLOW_TRACKING_URI, else SQLite in --out.")
    ] = None,
) -> None:
    """Write the leaderboard of the runs in MLflow.

    The formats are HTML, Markdown, CSV and JSON.
    """
    from clbench.benchmarks.tracking.store import EXPERIMENT, default_uri
    from clbench.reports.leaderboard.render import write_leaderboard

    page = write_leaderboard(tracking_uri or default_uri(out), EXPERIMENT, out / "leaderboard")
    print(f"leaderboard: {page}")
