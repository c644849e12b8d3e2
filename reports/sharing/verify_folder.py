"""Verifies a folder of results: an export of `clbench export`, the folder of a suite or of a cell."""

from dataclasses import dataclass
from pathlib import Path
from typing import final

from clbench.core.errors import DataError
from clbench.reports.finished_cells import cell_folders
from clbench.reports.sharing.checksums import SUMS, checksum_problems
from clbench.reports.sharing.recompute import cell_problems


@final
@dataclass(frozen=True)
class Verification:
    """What holds of a folder.

    Attributes:
        cells: Folders of the cells of which every number follows from the predictions, and every file has its checksum.
        problems: What does not hold, one line each, beginning with the name of a file or a cell.
    """

    cells: tuple[Path, ...]
    problems: tuple[str, ...]


def verify_folder(folder: Path) -> Verification:
    """Recompute every number of all cells in a folder, and compare the checksums where it has them.

    Raises:
        DataError: If the folder is missing, has no cell, or its checksums cannot be read.
    """
    places = list(cell_folders(folder))
    if not places:
        raise DataError(f"{folder}: wanted folders of cells, got none")
    problems = checksum_problems(folder) if (folder / SUMS).exists() else []
    damaged = {name.partition(": ")[0] for name in problems}
    sound: list[Path] = []
    for place in places:
        inside = "" if place == folder else f"{place.relative_to(folder).as_posix()}/"
        found = cell_problems(place)
        problems += [f"{inside}{line}" for line in found]
        if not found and not any(name.startswith(inside) for name in damaged):
            sound.append(place)
    return Verification(tuple(sound), tuple(problems))
