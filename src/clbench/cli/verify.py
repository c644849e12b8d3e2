"""`clbench verify`: whether every number of a folder of results follows from its predictions."""

from pathlib import Path
from typing import Annotated

import typer


def verify(
    folder: Annotated[Path, typer.Argument(help="Folder of `clbench export`, of a suite, or of a cell.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
) -> None:
    """Check all numbers of a folder by its predictions.

    Scores, metrics, flips and costs of every version are computed again from the ledgers, and checksums are compared.
    What does not hold is printed in one line each, with exit status 2.
    """
    from clbench.cli.output import print_json
    from clbench.reports.leaderboard.text import plain
    from clbench.reports.sharing.checksums import SUMS
    from clbench.reports.sharing.verify_folder import verify_folder

    found = verify_folder(folder)
    if as_json:
        print_json({"verified": [path.name for path in found.cells], "problems": list(found.problems)})
    else:
        for line in found.problems:
            print(plain(line))
        sums = "" if (folder / SUMS).is_file() else f" (no {SUMS}, so only the numbers were compared)"
        cells = "1 cell" if len(found.cells) == 1 else f"{len(found.cells)} cells"
        problems = "1 problem" if len(found.problems) == 1 else f"{len(found.problems)} problems"
        print(f"{cells} verified, {problems}{sums}")
    if found.problems:
        raise typer.Exit(2)
