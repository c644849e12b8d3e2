"""Finished cells of run folders: what was run, the result, and where the predictions are."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from clbench.core import strict_json
from clbench.core.errors import CheckpointError, DataError
from clbench.core.storage import read_json
from clbench.reports.result import FILE, CellResult, parse_result

SETTINGS = "cell.json"
"""Name of the file that makes a folder that of a cell."""
LEDGER = "ledger.parquet"
DECIDES = ("budget", "precision", "skip_broken", "split", "stream")
"""Settings that must be equal for cells whose numbers are compared, besides the learner."""


@final
@dataclass(frozen=True)
class FinishedCell:
    """A cell with a result.

    Attributes:
        place: Folder of its files.
        stream: Name of the stream.
        learner: Name of the learner.
        method: Name of the strategy with its settings, as tables show it.
        seed: Seed of all random numbers.
        split: Part of the tasks that was tested.
        setting: Text that is equal for cells on the same stream, data, learner, budget and part.
        result: Its numbers.
    """

    place: Path
    stream: str
    learner: str
    method: str
    seed: int
    split: str
    setting: str
    result: CellResult

    @property
    def ledger(self) -> Path:
        """The file of all predictions."""
        return self.place / LEDGER


def cell_folders(folder: Path) -> Iterator[Path]:
    """Folders of cells: the folder itself, or those in it, at most two levels below, as an output folder has them.

    Raises:
        DataError: If the folder is missing.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    if (folder / SETTINGS).is_file():
        yield folder
        return
    for pattern in (f"*/{SETTINGS}", f"*/*/{SETTINGS}"):
        yield from (path.parent for path in sorted(folder.glob(pattern)) if not path.parent.name.startswith("."))


def finished_cells(folders: Sequence[Path]) -> tuple[list[FinishedCell], list[str]]:
    """The finished cells under some folders, and why others are left out, one line each.

    Args:
        folders: Output folders, folders of suites, of cells or exports.

    Raises:
        DataError: If a folder is missing or none of them has a cell.
    """
    paths = dict.fromkeys(path for folder in folders for path in cell_folders(folder))
    if not paths:
        raise DataError(f"{', '.join(map(str, folders))}: no folder of a cell ({SETTINGS}) is in there")
    found, left_out = [], []
    for path in paths:
        try:
            found.append(read_cell(path))
        except (CheckpointError, DataError) as error:
            left_out.append(str(error))
    return found, left_out


def read_cell(path: Path) -> FinishedCell:
    """Read settings and result of a cell.

    Raises:
        CheckpointError: If a file is missing or damaged.
        DataError: If the cell is not finished, or a file lacks something.
    """
    settings = read_json(path / SETTINGS)
    values = read_json(path / FILE)
    if values.get("status") != "finished":
        raise DataError(f"{path / FILE}: wanted a finished cell, got status {values.get('status')!r:.60}")
    stream, learner, strategy = (_name(settings, part, path) for part in ("stream", "learner", "strategy"))
    seed, title = settings.get("seed"), str(settings.get("title", ""))
    if not isinstance(seed, int):
        raise DataError(f"{path / SETTINGS}: seed must be an integer, got {seed!r:.60}")
    method = title.removeprefix(f"{stream} / {learner} / ").removesuffix(f" / seed {seed}") or strategy
    kept = {name: settings.get(name) for name in DECIDES}
    kept["stream"] = _without_order(settings["stream"])
    setting = strict_json.dumps({**kept, "learner": settings["learner"]}, indent=None)
    try:
        result = parse_result(values)
    except DataError as error:
        raise DataError(f"{path}/{error}") from None
    return FinishedCell(path, stream, learner, method, seed, str(settings.get("split")), setting, result)


def _name(settings: Mapping[str, object], part: str, path: Path) -> str:
    found = settings.get(part)
    name = found.get("name") if isinstance(found, Mapping) else None
    if not isinstance(name, str) or not name:
        raise DataError(f"{path / SETTINGS}: {part}.name must be a text, got {name!r:.60}")
    return name


def _without_order(stream: object) -> object:
    """The stream without its updates: their order may be drawn by the seed."""
    return {key: value for key, value in stream.items() if key != "updates"} if isinstance(stream, Mapping) else stream
