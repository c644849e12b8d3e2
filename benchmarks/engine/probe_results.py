"""What `--probe` has measured of a cell's versions besides the tasks of its stream (`probes.json`)."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import cast

from clbench.core.errors import CheckpointError
from clbench.core.storage import read_json, write_json


class ProbeResults:
    """Numbers of lm-evaluation-harness by version and by task; see `HarnessProbe`.

    Args:
        folder: Of the cell.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "probes.json"

    def all(self) -> dict[int, dict[str, dict[str, float]]]:
        """Numbers by version and by the description of the task; empty where nothing was measured.

        Raises:
            CheckpointError: When the file is damaged.
        """
        try:
            found = read_json(self._path) if self._path.is_file() else {}
            versions = cast(dict[str, dict[str, dict[str, float]]], found)
            return {int(version): {task: dict(row) for task, row in rows.items()} for version, rows in versions.items()}
        except (AttributeError, TypeError, ValueError):
            raise CheckpointError(f"{self._path}: not what probes have measured; remove it") from None

    def missing(self, tasks: Collection[str], last_version: int) -> dict[int, list[str]]:
        """The tasks that were not measured yet of version 0 and of the last one; versions without any are left out."""
        known = self.all()
        missing = {v: [task for task in tasks if task not in known.get(v, {})] for v in (0, last_version)}
        return {version: several for version, several in missing.items() if several}

    def save(self, version: int, task: str, numbers: Mapping[str, float]) -> None:
        """Keep what was measured.

        Args:
            version: Number of the version.
            task: Description of the task, as `HarnessProbe.asked` gives it.
            numbers: By name.
        """
        known = self.all()
        known.setdefault(version, {})[task] = dict(numbers)
        write_json(self._path, {str(number): rows for number, rows in known.items()})
