"""`clbench versions`: what the store of versions has, and its cleaning."""

from pathlib import Path
from typing import Annotated, Optional

import typer

WHAT = ("unused", "weights")


def versions(
    out: Annotated[Path, typer.Option(help="Folder of the runs, which has the store.")] = Path("clbench-runs"),
    clean: Annotated[
        Optional[str],
        typer.Option(
            help="Delete `unused` versions, which no cell has, or all `weights`, which can be computed again."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """List the stored versions of models, with sizes and users.

    Nothing that a running process uses is deleted, and no result of a cell.
    """
    from dataclasses import asdict

    from clbench.benchmarks.engine.store_contents import clean as clean_store
    from clbench.benchmarks.engine.store_contents import contents
    from clbench.cli.output import print_json, print_table
    from clbench.core.errors import ConfigError, did_you_mean

    if not out.is_dir():
        raise ConfigError(f"--out {out}: no such folder")
    if clean is not None and clean not in WHAT:
        raise ConfigError(f"--clean must be unused or weights, got {clean!r}: {did_you_mean(clean, WHAT)}")
    freed = clean_store(out, clean) if clean else 0
    items = contents(out)
    if as_json:
        print_json({"freed_bytes": freed, "items": [asdict(item) for item in items]})
        return
    rows = [
        (item.key, item.made_by, str(len(item.cells)), _mb(item.weight_bytes), _mb(item.other_bytes))
        for item in items
        if item.kind != "test"
    ]
    if rows:
        print_table("", ("version", "made by", "cells", "weights, MB", "other, MB"), rows)
    total = sum(item.weight_bytes + item.other_bytes for item in items)
    number = {kind: sum(item.kind == kind for item in items) for kind in ("version", "intermediate", "test")}
    intermediates = f"{number['intermediate']} intermediate results, " if number["intermediate"] else ""
    print(f"{number['version']} versions, {intermediates}{number['test']} tests, {_mb(total)} MB in {out}")
    if clean:
        print(f"freed {_mb(freed)} MB")


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f}"
