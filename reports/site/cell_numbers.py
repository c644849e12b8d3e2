"""What a cell's ledger says beside its result: calibration, flips of results that lack them, examples."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import final

from clbench.core.errors import DataError
from clbench.core.mlflow_store import one_line
from clbench.reports.compute_result import with_current_metrics
from clbench.reports.flips.stream_flips import stream_numbers
from clbench.reports.leaderboard.logged_cell import LoggedCell
from clbench.reports.result import CellResult
from clbench.reports.site.calibration_error import calibration_of
from clbench.reports.site.flip_examples import COLUMNS, UpdateFlips, flips_of_updates
from clbench.spec.ledger import read_ledger

LEDGER = "ledger.parquet"


@final
@dataclass(frozen=True)
class CellNumbers:
    """A cell with all that a page shows of its answers.

    Attributes:
        cell: The cell, with current metrics, calibration, and with flips where its result had none.
        flips: Answers that each update broke under the first protocol, by version.
        problem: Why the ledger could not be read, one line; empty if it could.
    """

    cell: LoggedCell
    flips: Mapping[int, UpdateFlips] = field(default_factory=dict)
    problem: str = ""


def numbers_of(cell: LoggedCell, folder: Path) -> CellNumbers:
    """Read the ledger of a cell, and compute its metrics by the present code.

    Args:
        cell: The cell, with its result as it is stored.
        folder: Folder with its ledger.
    """
    if cell.result is None:
        return CellNumbers(cell)
    result = with_current_metrics(cell.result)
    cell = replace(cell, result=result)
    try:
        rows = read_ledger(folder / LEDGER, COLUMNS)
    except DataError as error:
        return CellNumbers(cell, problem=one_line(str(error).replace(f"{folder}/", "")))
    first = next(iter(result.protocols))
    found = flips_of_updates(rows, first, result.matrix(first).parents)
    known = replace(cell, calibration=calibration_of(rows, result.last_version))
    if any(version.flips for of in result.protocols.values() for version in of.versions):
        return CellNumbers(known, found)
    return CellNumbers(replace(known, result=_with_flips(result, folder)), found)


def _with_flips(result: CellResult, folder: Path) -> CellResult:
    """The result with flips from the ledger, for results of earlier code, which have none."""
    rows = read_ledger(folder / LEDGER)
    protocols = dict(result.protocols)
    for name, of in result.protocols.items():
        with contextlib.suppress(DataError):  # a ledger without rows of this protocol
            flips = stream_numbers(rows, name, result.updates)
            versions = tuple(v.model_copy(update={"flips": flips.get(n, {})}) for n, v in enumerate(of.versions))
            protocols[name] = of.model_copy(update={"versions": versions})
    return result.model_copy(update={"protocols": protocols})
