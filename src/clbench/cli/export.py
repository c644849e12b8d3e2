"""`clbench export`: results as a folder that stands alone."""

import sys
from pathlib import Path
from typing import Annotated, Optional

import typer


def export(
    suite: Annotated[str, typer.Argument(help="Name of a suite in --out, or the folder of a suite.")],
    to: Annotated[Optional[Path], typer.Option(help="Folder to write. Default: NAME-export in this folder.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("clbench-runs"),
) -> None:
    """Write the results of a suite to a folder that can be shared.

    It has predictions, settings, environments, results, checksums and a card, and names neither the machine nor its
    user. `clbench verify` recomputes all of it.
    """
    from clbench.benchmarks.tracking.store import EXPERIMENT
    from clbench.reports.leaderboard.text import plain
    from clbench.reports.sharing.export_suite import export_suite
    from clbench.reports.sharing.run_environment import RunEnvironments

    folder = out / suite if (out / suite).is_dir() else Path(suite)
    found = export_suite(folder, to or Path(f"{folder.resolve().name}-export"), RunEnvironments(EXPERIMENT).of)
    for line in found.left_out:
        print(f"left out: {plain(line)}", file=sys.stderr)
    if found.without_environment:
        print(f"{found.without_environment} of {found.cells} cells have no recorded environment", file=sys.stderr)
    print(f"export: {found.folder}: {found.cells} {'cell' if found.cells == 1 else 'cells'}, verified")
