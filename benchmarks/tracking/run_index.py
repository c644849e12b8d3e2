"""Which run in which tracking store holds what of a folder (`tracking.json`)."""

from pathlib import Path

from clbench.core.errors import CheckpointError
from clbench.core.storage import read_json, write_json


class RunIndex:
    """The runs of a cell or of a suite, and what they have already.

        {"runs": {store: run}, "logged": {run: newest version}, "probed": {run: number},
         "closed": {run: true}, "code": {run: hash}, "models": {run/version: model}}

    An entry that is missing or damaged only means that a new run is made, which gets everything again.

    Args:
        folder: Folder of the cell or the suite.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "tracking.json"

    def run(self, store: str) -> str | None:
        """Id of the run in a store."""
        found = self._group("runs").get(store)
        return found if isinstance(found, str) else None

    def logged(self, run: str) -> int:
        """The newest version that a run has; -1 if it has none."""
        found = self._group("logged").get(run)
        return found if isinstance(found, int) and found >= 0 else -1

    def closed(self, run: str) -> bool:
        """Whether a run has everything."""
        return self._group("closed").get(run) is True

    def code(self, run: str) -> str | None:
        """Hash of the code that computed the result which a run has."""
        found = self._group("code").get(run)
        return found if isinstance(found, str) else None

    def model(self, run: str, version: int) -> str | None:
        """Id of the logged model that stands for a version."""
        found = self._group("models").get(f"{run}/{version}")
        return found if isinstance(found, str) else None

    def probed(self, run: str) -> int:
        """How many results of probes a run has; they are only ever added."""
        found = self._group("probed").get(run)
        return found if isinstance(found, int) else 0

    def remember(self, group: str, key: str, value: object) -> None:
        """Write down one value.

        Args:
            group: `runs`, `logged`, `probed`, `closed`, `code` or `models`.
            key: The store, for `runs`; a run and a version, for `models`; a run, for all others.
            value: As above.
        """
        known = self._group(group)
        if key not in known or known[key] != value:
            write_json(self._path, {**self._all(), group: {**known, key: value}})

    def _group(self, name: str) -> dict[str, object]:
        found = self._all().get(name)
        return found if isinstance(found, dict) else {}

    def _all(self) -> dict[str, object]:
        try:
            return read_json(self._path) if self._path.is_file() else {}
        except CheckpointError:
            return {}
