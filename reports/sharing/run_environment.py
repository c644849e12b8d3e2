"""The environment in which a cell ran: beside its files, else in the tracking store that has its run."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import final

from clbench.core.errors import CheckpointError, ClbenchError
from clbench.core.storage import read_json
from clbench.reports.leaderboard.board_store import RunStore

ENVIRONMENT = "environment.json"


@final
class RunEnvironments:
    """Reads environments; a tracking store that does not answer is asked once.

    Args:
        experiment: Name of the experiment that has the runs.
    """

    def __init__(self, experiment: str) -> None:
        self._experiment = experiment
        self._stores: dict[str, RunStore | None] = {}

    def of(self, place: Path) -> Mapping[str, object] | None:
        """The environment of a cell, by its folder; None where it is not to be had."""
        if (place / ENVIRONMENT).is_file():
            return read_json(place / ENVIRONMENT)
        runs: object = None
        with suppress(CheckpointError):
            runs = read_json(place / "tracking.json").get("runs")
        for uri, run in runs.items() if isinstance(runs, Mapping) else ():
            store = self._store(uri)
            if store is not None:
                with suppress(ClbenchError):
                    return store.read_json(str(run), ENVIRONMENT)
        return None

    def _store(self, uri: str) -> RunStore | None:
        if uri not in self._stores:
            self._stores[uri] = None
            with suppress(ClbenchError):
                self._stores[uri] = RunStore(uri, self._experiment)
        return self._stores[uri]
