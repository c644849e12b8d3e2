"""Versions of finished cells in the store, for tests that damage or lose them."""

import json
import shutil
from pathlib import Path


def stored(out: Path, cell: Path, version: int) -> Path:
    """The folder of a cell's version in the store of an output folder."""
    record = json.loads((cell / "versions" / f"{version:04d}" / "record.json").read_text())
    return out / "versions" / str(record["key"])


def lose_last(out: Path, cell: Path, last: int) -> None:
    """Remove the last version of a cell, in its folder and in the store, as if it had not been computed yet."""
    shutil.rmtree(stored(out, cell, last))
    shutil.rmtree(cell / "versions" / f"{last:04d}")
    shutil.rmtree(out / "tests")
    (cell / "result.json").unlink()
