"""Reads the cells of run folders: an output folder, a suite's or a single cell's."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast, final

from clbench.core.errors import CheckpointError, DataError
from clbench.core.mlflow_store import one_line
from clbench.core.storage import read_json
from clbench.reports.finished_cells import SETTINGS, cell_folders
from clbench.reports.leaderboard.collect import WITHOUT_A_TAG, newest
from clbench.reports.leaderboard.logged_cell import SCHEMA, SCHEMA_OF_0_1, LoggedCell
from clbench.reports.leaderboard.runs_of_0_1 import result_of_0_1
from clbench.reports.result import FILE, parse_result
from clbench.reports.sharing.checksums import SUMS
from clbench.reports.sharing.verify_folder import verify_folder

STATUS = {"finished": "FINISHED", "failed": "FAILED"}
UNFINISHED = "UNFINISHED"
REFUSED = "REFUSED"


@final
class RunFolders:
    """The cells under some folders.

    Of several folders of one cell, the newest finished one counts. Folders with checksums are exports of other people:
    a cell whose numbers do not follow from its predictions, or whose files have changed, has an error and no result.

    Args:
        folders: Output folders, folders of suites or of cells.

    Attributes:
        name: Names of the folders.
        cells: One a cell, oldest first, without results.
        problems: Folders whose settings cannot be read, one line each.
        refused: What does not hold of exports, one line each.

    Raises:
        DataError: For a folder that is missing, or if none of them holds a cell.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        problems: list[str] = []
        found: list[LoggedCell] = []
        exports = {folder: verify_folder(folder) for folder in folders if (folder / SUMS).is_file()}
        sound = {place for verified in exports.values() for place in verified.cells}
        self.refused = tuple(f"{folder}: {line}" for folder, of in exports.items() for line in of.problems)
        places = {path: folder for folder in folders for path in cell_folders(folder)}
        for path, folder in places.items():
            try:
                cell = _cell(path)
                if folder in exports and path not in sound and cell.error is None:
                    cell = replace(cell, status=REFUSED, error="does not verify (clbench verify says why)")
                found.append(cell)
            except (CheckpointError, DataError) as error:
                problems.append(one_line(f"{path.name}: {str(error).removeprefix(f'{path}/')}"))
        if not found and not problems:
            raise DataError(f"{', '.join(map(str, folders))}: no folder of a cell ({SETTINGS}) is in there")
        self.name = ", ".join(folder.resolve().name for folder in folders)
        self.cells = newest(found)
        self.problems = tuple(problems)

    def read(self, cell: LoggedCell) -> LoggedCell:
        """The cell with its result as it is stored; with the error where that cannot be read."""
        if cell.error is not None:
            return cell
        assert cell.place is not None
        try:
            if cell.schema == SCHEMA_OF_0_1:
                return replace(cell, result=result_of_0_1(read_json(cell.place / "matrix.json"), {}))
            return replace(cell, result=parse_result(read_json(cell.place / FILE)))
        except (CheckpointError, DataError) as error:
            return replace(cell, error=one_line(str(error).removeprefix(f"{cell.place}/")))

    def fetch(self, cell: LoggedCell, into: Path) -> Path:
        """The cell's folder.

        Args:
            cell: The cell.
            into: Not used: the files are on this machine.
        """
        return cell.place or into


def _cell(path: Path) -> LoggedCell:
    """The cell of a folder, without its result.

    Raises:
        CheckpointError: If its settings are damaged.
        DataError: If they lack something.
    """
    values = read_json(path / SETTINGS)
    stream, learner, strategy = (_text(values, part) for part in ("stream", "learner", "strategy"))
    seed = str(values.get("seed", WITHOUT_A_TAG))
    label = str(values.get("title", "")).removeprefix(f"{stream} / {learner} / ").removesuffix(f" / seed {seed}")
    status, error, has_result = _status(path)
    budget = values.get("budget")
    spent = cast(Mapping[str, object], budget) if isinstance(budget, Mapping) else {}
    return LoggedCell(
        run_id=path.name,
        key=path.name,
        stream=stream,
        learner=learner,
        strategy=strategy,
        label=label or strategy,
        seed=seed,
        split=str(values.get("split", WITHOUT_A_TAG)),
        budget=f"{spent.get('steps')} steps of {spent.get('batch_size')} a task" if spent else "",
        status=status,
        started=(path / SETTINGS).stat().st_mtime_ns // 1_000_000,
        schema=SCHEMA if has_result else SCHEMA_OF_0_1,
        error=error,
        environment={"clbench_version": str(values.get("clbench", WITHOUT_A_TAG))},
        suite=path.parent.name,
        place=path,
    )


def _text(values: Mapping[str, object], part: str) -> str:
    found = values.get(part)
    name = found.get("name") if isinstance(found, Mapping) else None
    if not isinstance(name, str) or not name:
        raise DataError(f"{SETTINGS}: {part}.name must be a text, got {name!r:.60}")
    return name


def _status(path: Path) -> tuple[str, str | None, bool]:
    """Status in MLflow's words, the error if there is no result, and whether `result.json` has one of this layout."""
    if not (path / FILE).is_file():
        versions = sum(1 for _ in (path / "versions").glob("[0-9]*"))
        return UNFINISHED, f"not finished: {versions} versions are there", True
    try:
        values = read_json(path / FILE)
    except CheckpointError as error:
        return UNFINISHED, one_line(str(error).removeprefix(f"{path}/")), True
    status = STATUS.get(str(values.get("status")), UNFINISHED)
    if status == "FINISHED":
        return status, None, "result" in values
    return status, one_line(str(values.get("error") or "no error was recorded")), True
