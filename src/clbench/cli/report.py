"""`clbench report`: the leaderboard, from MLflow."""

from pathlib import Path
from typing import Annotated, Optional

import typer


def report(
    out: Annotated[
        Path, typer.Option(help="Folder of the runs; the leaderboard goes to its folder `leaderboard`.")
    ] = Path("clbench-runs"),
    tracking_uri: Annotated[
        Optional[str], typer.Option(help="MLflow store to read; default as in `clbench run`.")
    ] = None,
) -> None:
    """Write the leaderboard (HTML, Markdown, CSV, JSON) from the runs in MLflow."""
    from clbench.benchmarks.tracking.store import EXPERIMENT, default_uri
    from clbench.reports.leaderboard.render import write_leaderboard

    page = write_leaderboard(tracking_uri or default_uri(out), EXPERIMENT, out / "leaderboard")
    print(f"leaderboard: {page}")
