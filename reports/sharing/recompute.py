"""Every number of a finished cell again, from its predictions, and what differs from the numbers that it has."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from clbench.core.errors import CheckpointError, ClbenchError, DataError
from clbench.core.storage import has_digest, read_json
from clbench.reports.compute_result import StreamOutline, compute_result
from clbench.reports.finished_cells import LEDGER, SETTINGS, FinishedCell, read_cell
from clbench.reports.result import FILE, CellResult
from clbench.reports.sharing.cell_names import digest_in_name, settings_digest
from clbench.spec.ledger import read_ledger
from clbench.spec.update import update_as_json

RELATIVE, ABSOLUTE = 1e-9, 1e-12
"""Largest differences of two numbers that are called equal: other processors add in another order."""
SHOWN = 5
"""Differences of one cell that are listed."""
OF_CLASSES = ("task-id", "union")
"""Protocols whose answers are names of classes, so that equal names are right answers."""


def cell_problems(place: Path) -> list[str]:
    """What does not hold of a finished cell, one line each; nothing if every number follows from the predictions.

    Scores, metrics, flips, challenge metrics, means by kind and costs are computed from the ledger and the records of
    the versions. Whether an answer of a class is right follows from its name and the target's. Scores of single
    written answers and of images, and confidences, are taken from the ledger.
    """
    for name, missing in ((FILE, "not finished"), (LEDGER, "the predictions are missing")):
        if not (place / name).is_file():
            return [f"{missing}: no {name}"]
    problems: list[str] = []
    try:
        cell, values, settings = read_cell(place), read_json(place / FILE), read_json(place / SETTINGS)
        problems += _file_problems(cell, values, settings)
        rows = read_ledger(place / LEDGER)
        problems += _row_problems(rows, cell.result)
        numbers = recorded_numbers(place, len(cell.result.updates) + 1)
        outline = StreamOutline(cell.result.tasks, tuple(cell.result.protocols), cell.result.updates)
        again = compute_result(outline, rows, numbers)
    except (ClbenchError, pa.ArrowException, RecursionError) as error:
        return [*problems, str(error).removeprefix(f"{place}/")]
    differences = list(_differences(cell.result.as_json(), again.as_json(), cell.result.code == again.code))
    more = len(differences) - SHOWN
    return problems + differences[:SHOWN] + ([f"{FILE}: {more} further numbers differ"] if more > 0 else [])


def recorded_numbers(place: Path, versions: int) -> list[dict[str, float]]:
    """Seconds, memory and audits of each version, as the result is computed from them.

    Args:
        place: Folder of the cell.
        versions: Number of versions, version 0 included.

    Raises:
        CheckpointError: If a record is missing or damaged.
        DataError: If one has another layout.
    """
    found: list[dict[str, float]] = []
    for version in range(versions):
        path = place / "versions" / f"{version:04d}" / "record.json"
        numbers = read_json(path).get("numbers")
        if not isinstance(numbers, dict) or not all(isinstance(x, int | float) for x in numbers.values()):
            raise DataError(f"{path}: numbers must be an object of numbers")
        found.append({str(name): float(x) for name, x in numbers.items()})
    audit = place / "audit.json"
    if audit.is_file():
        try:
            for label, of in cast(Mapping[str, Mapping[str, Mapping[str, float]]], read_json(audit)).items():
                for version_of, values in of.items():
                    found[int(version_of)] |= {f"audit/{label}/{name}": float(x) for name, x in values.items()}
        except (AttributeError, IndexError, TypeError, ValueError):
            raise CheckpointError(f"{audit}: not an audit of versions") from None
    return found


def _file_problems(cell: FinishedCell, values: Mapping[str, object], settings: Mapping[str, object]) -> list[str]:
    """Whether the files of a cell belong together."""
    place, result, problems = cell.place, cell.result, []
    if "ledger" in values and not has_digest(place / LEDGER, values["ledger"]):  # early results have no checksum
        problems.append(f"{LEDGER}: is not the ledger that {FILE} was computed from")
    if values.get("versions") != len(result.updates) + 1:
        problems.append(f"{FILE}: versions must be {len(result.updates) + 1}, got {values.get('versions')!r:.60}")
    stream = settings.get("stream")
    updates = stream.get("updates") if isinstance(stream, Mapping) else None
    if updates is not None and updates != [update_as_json(update) for update in result.updates]:
        problems.append(f"{FILE}: the updates are not those of {SETTINGS}")
    title = f"{cell.stream} / {cell.learner} / {cell.method} / seed {cell.seed}"
    if settings.get("title") != title:
        problems.append(f"{SETTINGS}: title must be {title!r:.120}, got {settings.get('title')!r:.120}")
    name = digest_in_name(place.resolve().name)
    if name is not None and name != settings_digest(settings):
        problems.append(f"{SETTINGS}: the settings are not those that the folder's name was made of")
    return problems


def _row_problems(rows: pa.Table, result: CellResult) -> list[str]:
    """Whether the rows of a ledger agree with themselves and with the outline of the result."""
    protocols, tasks = (set(pc.unique(rows[column]).to_pylist()) for column in ("protocol", "task"))
    problems = [
        f"{LEDGER}: {what} are {', '.join(sorted(found))}, those of {FILE} are {', '.join(sorted(wanted))}"
        for what, found, wanted in (
            ("protocols", protocols, set(result.protocols)),
            ("tasks", tasks, set(result.tasks)),
        )
        if found - wanted or (what == "protocols" and wanted - found)
    ]
    classes = [task for task, kind in result.tasks.items() if kind == "classification"]
    judged = rows.filter(pc.and_(pc.is_in(rows["task"], pa.array(classes, pa.string())), pc.is_valid(rows["correct"])))
    of_classes = pc.is_in(judged["protocol"], pa.array(OF_CLASSES))
    same = pc.equal(judged["prediction"], judged["target"])
    wrong = np.asarray(pc.fill_null(pc.and_(pc.not_equal(same, judged["correct"]), pc.or_(of_classes, same)), True))
    if wrong.any():
        row = judged.slice(int(np.argmax(wrong)), 1).to_pylist()[0]
        where = f"version {row['version']}, {row['protocol']}, sample {row['sample_id']!r:.80}"
        said = "right" if row["correct"] else "wrong"
        problems.append(
            f"{LEDGER}: {where}: {row['prediction']!r:.60} is called {said}, the target is {row['target']!r:.60}"
            + (f" ({int(wrong.sum()) - 1} more rows)" if wrong.sum() > 1 else "")
        )
    return problems


def _differences(stored: object, again: object, same_code: bool, where: str = "") -> Iterator[str]:
    """Where two results differ, one line each.

    Args:
        stored: What the file has.
        again: What was computed from the predictions.
        same_code: Whether both are of the same code; if not, numbers that one of them lacks are no difference.
        where: Path of the values in the result.
    """
    if isinstance(stored, Mapping) and isinstance(again, Mapping):
        for key in dict.fromkeys([*stored, *again]):
            place = f"{where}/{key}" if where else str(key)
            if place == "code" or place.rpartition("/")[2] == "undefined":
                continue
            if key in stored and key in again:
                yield from _differences(stored[key], again[key], same_code, place)
            elif same_code:
                yield f"{FILE}: {place}: {'only in the file' if key in stored else 'missing'}"
    elif isinstance(stored, list) and isinstance(again, list) and len(stored) == len(again):
        for index, (one, other) in enumerate(zip(stored, again, strict=True)):
            yield from _differences(one, other, same_code, f"{where}/{index}")
    elif not _equal(stored, again):
        yield f"{FILE}: {where}: is {_shown(stored)}, the predictions give {_shown(again)}"


def _equal(one: object, other: object) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float) and not isinstance(one, bool):
        return math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return one == other


def _shown(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else f"{value!r:.60}"
