"""`clbench report`: the leaderboard, a static site, of the runs in MLflow or in folders."""

import sys
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
    folders: Annotated[
        Optional[list[Path]],
        typer.Option(
            "--from",
            help="Read this folder instead of MLflow, repeatable: runs (--out, a suite, a cell), or an export.",
        ),
    ] = None,
) -> None:
    """Write the leaderboard as a site of static pages.

    All tables are also written as Markdown, CSV, JSON and LaTeX.

    Only pages that have changed are made again.
    """
    from clbench.benchmarks.tracking.store import EXPERIMENT, default_uri
    from clbench.core.errors import ConfigError, TrackingError
    from clbench.reports.leaderboard.run_folders import RunFolders
    from clbench.reports.leaderboard.text import plain
    from clbench.reports.site.site_writer import write_leaderboard, write_site

    if folders and tracking_uri:
        raise ConfigError("--from and --tracking-uri: wanted one of them, got both")
    target = out / "leaderboard"
    refused: tuple[str, ...] = ()
    if folders:
        source = RunFolders(folders)
        page = write_site(source, target)
        refused = source.refused
    else:
        try:
            page = write_leaderboard(tracking_uri or default_uri(out), EXPERIMENT, target)
        except TrackingError as error:
            raise TrackingError(f"{error}; --from FOLDER reads folders of runs, without MLflow") from None
    print(f"leaderboard: {page}")
    for line in refused:
        print(f"refused: {plain(line)}", file=sys.stderr)
    if refused:
        raise typer.Exit(2)
