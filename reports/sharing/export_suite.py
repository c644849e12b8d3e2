"""Writes a folder of results that stands alone and names neither the machine nor its user."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import pyarrow.compute as pc

from clbench.core.errors import ConfigError, DataError
from clbench.core.storage import read_json, write_json, written_whole
from clbench.reports.finished_cells import LEDGER, SETTINGS, FinishedCell, finished_cells, read_cell
from clbench.reports.result import FILE
from clbench.reports.sharing.cell_names import settings_digest, with_digest
from clbench.reports.sharing.checksums import write_checksums
from clbench.reports.sharing.private_texts import private_names, without_private_texts
from clbench.reports.sharing.result_card import result_card
from clbench.reports.sharing.run_environment import ENVIRONMENT
from clbench.reports.sharing.verify_folder import verify_folder
from clbench.spec.ledger import read_ledger

CARD = "README.md"
OPTIONAL = ("forget.json", "audit.json")
"""Files of a cell that are passed on where they are there."""


@final
@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        folder: The folder.
        cells: Number of its cells.
        left_out: Names of cells that are not finished, with the reason.
        without_environment: Number of cells whose environment was not recorded.
    """

    folder: Path
    cells: int
    left_out: tuple[str, ...]
    without_environment: int


def export_suite(suite: Path, target: Path, environment_of: Callable[[Path], Mapping[str, object] | None]) -> Exported:
    """Write the finished cells of a suite to a folder of their own, whole or not at all, and verify it.

    Ledgers are copied as they are. Texts in JSON lose absolute paths, of which the last part stays, and the names of
    the machine and its user.

    Args:
        suite: Folder of a suite, or of a cell.
        target: Folder to write; it must not be there yet.
        environment_of: Gives the environment of a run by the folder of its cell; None where it was not recorded.

    Raises:
        ConfigError: If the target is there.
        DataError: If no cell is finished, ids of samples are paths of this machine, or a number does not follow from
            the predictions.
        ClbenchError: When the disk is full or not writable.
    """
    if target.exists():
        raise ConfigError(f"{target}: is there already; give another --to")
    cells, reasons = finished_cells([suite])
    left_out = tuple(_relative(reason, suite) for reason in reasons)
    if not cells:
        raise DataError(f"{suite}: no finished cell: {left_out[0]}")
    names, environments = private_names(), []
    with written_whole(target) as aside:
        for cell in cells:
            environments.append(_write_cell(cell, aside, environment_of(cell.place), names))
        written = [read_cell(path) for path in sorted(path.parent for path in aside.glob(f"*/{SETTINGS}"))]
        known = [dict(environment) for environment in environments if environment]
        distinct = [one for index, one in enumerate(known) if one not in known[:index]]
        card = result_card(suite.resolve().name, written, _without_names(left_out, names), distinct)
        (aside / CARD).write_text(card, encoding="utf-8")
        write_checksums(aside)
        if problems := verify_folder(aside).problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise DataError(f"{suite}: does not hold: {problems[0]}{more}")
    return Exported(target, len(cells), left_out, len(cells) - len(known))


def _write_cell(
    cell: FinishedCell, folder: Path, environment: Mapping[str, object] | None, names: set[str]
) -> Mapping[str, object] | None:
    """Write one cell; its environment as it was written."""
    _refuse_private_ids(cell.ledger, names)
    settings = _public(read_json(cell.place / SETTINGS), names)
    place = folder / with_digest(cell.place.resolve().name, settings_digest(settings))
    write_json(place / SETTINGS, settings)
    write_json(place / FILE, _public(read_json(cell.place / FILE), names))
    shutil.copyfile(cell.ledger, place / LEDGER)
    for name in OPTIONAL:
        if (cell.place / name).is_file():
            write_json(place / name, _public(read_json(cell.place / name), names))
    for record in sorted(cell.place.glob("versions/[0-9]*/record.json")):
        write_json(place / record.relative_to(cell.place), _public(read_json(record), names))
    public = None if environment is None else _public(environment, names)
    if public is not None:
        write_json(place / ENVIRONMENT, public)
    return public


def _public(values: Mapping[str, object], names: set[str]) -> dict[str, object]:
    found = without_private_texts(dict(values), names)
    assert isinstance(found, dict)
    return found


def _refuse_private_ids(ledger: Path, names: set[str]) -> None:
    ids = pc.unique(read_ledger(ledger, ("version", "protocol", "task", "sample_id"))["sample_id"]).to_pylist()
    for name in ids:
        if without_private_texts(name, names) != name:
            raise DataError(f"{ledger}: the id of a sample names this machine or a path on it: {name!r:.80}")


def _relative(reason: str, suite: Path) -> str:
    return reason.removeprefix(f"{suite}/")


def _without_names(lines: Sequence[str], names: set[str]) -> list[str]:
    return [str(without_private_texts(line, names)) for line in lines]
