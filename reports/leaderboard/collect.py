"""Reads the cells of an experiment from MLflow: of the runs of a cell, the one that counts."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, final

from clbench.core.errors import DataError
from clbench.core.mlflow_store import one_line
from clbench.reports.compute_result import with_current_metrics
from clbench.reports.leaderboard.board_store import RunStore, artifact_folder
from clbench.reports.leaderboard.logged_cell import SCHEMA, SCHEMA_OF_0_1, LoggedCell
from clbench.reports.leaderboard.runs_of_0_1 import result_of_0_1
from clbench.reports.result import FILE, parse_result

if TYPE_CHECKING:
    from mlflow.entities import Run

KNOWN_TAGS = frozenset(
    f"clbench.{name}"
    for name in (
        "kind",
        "schema",
        "suite",
        "stream",
        "learner",
        "strategy",
        "label",
        "seed",
        "split",
        "cell",
        "error",
        "budget",
    )
)
WITHOUT_A_TAG = "(not said)"


@final
class MlflowRuns:
    """The cells of an experiment in MLflow.

    A cell that was run several times counts once: its newest finished run, or its newest run where none finished.

    Args:
        tracking_uri: As MLflow takes it: `sqlite:///runs.db`, `https://...`.
        experiment: Name of the experiment.
        page_size: Runs asked for at a time.

    Attributes:
        name: Name of the experiment.
        cells: One a cell, oldest first, without results.
        problems: What could not be read; always empty, as a store that cannot be read is an error.

    Raises:
        TrackingError: When the store does not answer, or holds no clbench runs.
    """

    def __init__(self, tracking_uri: str, experiment: str, page_size: int = 1000) -> None:
        self._store = RunStore(tracking_uri, experiment)
        runs = {run.info.run_id: run for run in self._store.cells(page_size)}
        self._metrics = {run_id: run.data.metrics for run_id, run in runs.items()}
        self.name = experiment
        self.cells = newest(map(_cell, runs.values()))
        self.problems: tuple[str, ...] = ()

    def read(self, cell: LoggedCell) -> LoggedCell:
        """The cell with its result as it is stored; with the error where that cannot be read."""
        if cell.error is not None:
            return cell
        try:
            if cell.schema == SCHEMA_OF_0_1:
                matrices = self._store.read_json(cell.run_id, "matrix.json", cell.place)
                return replace(cell, result=result_of_0_1(matrices, self._metrics[cell.run_id]))
            return replace(cell, result=parse_result(self._store.read_json(cell.run_id, FILE, cell.place)))
        except DataError as error:
            return replace(cell, error=one_line(error))

    def fetch(self, cell: LoggedCell, into: Path) -> Path:
        """A folder on this machine with the cell's ledger, settings and environment, as far as they are there.

        Args:
            cell: The cell.
            into: Empty folder that files of a server are downloaded to.
        """
        if cell.place is None:
            self._store.fetch(cell.run_id, ("ledger.parquet", "config.json", "environment.json"), into)
        return cell.place or into


def collect(tracking_uri: str, experiment: str, *, page_size: int = 1000) -> list[LoggedCell]:
    """Read the cells of an experiment with their results.

    Args:
        tracking_uri: As MLflow takes it: `sqlite:///runs.db`, `https://...`.
        experiment: Name of the experiment.
        page_size: Runs asked for at a time.

    Returns:
        One row a cell, oldest first. A run without a readable result is a row that says so.

    Raises:
        TrackingError: When the store does not answer, or holds no clbench runs.
    """
    runs = MlflowRuns(tracking_uri, experiment, page_size)
    found = map(runs.read, runs.cells)
    return [replace(cell, result=cell.result and with_current_metrics(cell.result)) for cell in found]


def newest(cells: Iterable[LoggedCell]) -> list[LoggedCell]:
    """Of the runs of each cell the newest finished one, else the newest; oldest first."""
    chosen: dict[str, LoggedCell] = {}
    for cell in sorted(cells, key=lambda cell: (cell.status == "FINISHED", cell.started, cell.run_id)):
        chosen[cell.key] = cell
    return sorted(chosen.values(), key=lambda cell: (cell.started, cell.run_id))


def _cell(run: "Run") -> LoggedCell:
    tags: Mapping[str, str] = run.data.tags
    status: str = run.info.status

    def tag(name: str, otherwise: str = WITHOUT_A_TAG) -> str:
        return tags.get(f"clbench.{name}", "") or otherwise

    strategy = tag("strategy")
    return LoggedCell(
        run_id=run.info.run_id,
        key=tag("cell", run.info.run_id),
        stream=tag("stream"),
        learner=tag("learner"),
        strategy=strategy,
        label=tag("label", strategy),
        seed=tag("seed"),
        split=tag("split"),
        budget=tag("budget", ""),
        status=status,
        started=run.info.start_time or 0,
        schema=tag("schema"),
        error=_error(status, tag("schema"), tag("error", "")),
        suite=tag("suite", ""),
        place=artifact_folder(run),
        environment={
            name.removeprefix("clbench."): value
            for name, value in tags.items()
            if name.startswith("clbench.") and name not in KNOWN_TAGS
        },
    )


def _error(status: str, schema: str, error: str) -> str | None:
    if schema not in (SCHEMA_OF_0_1, SCHEMA):
        return f"clbench.schema of the run: wanted {SCHEMA_OF_0_1} or {SCHEMA}, got {one_line(schema)}"
    if status == "FINISHED":
        return None
    return one_line(error) if error else f"no error was recorded, the status is {status}"
