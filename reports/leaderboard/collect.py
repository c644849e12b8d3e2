"""Reads the cells of an experiment from MLflow: of the runs of a cell, the one that counts."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from clbench.core.errors import DataError
from clbench.core.mlflow_store import one_line
from clbench.reports.compute_result import with_current_metrics
from clbench.reports.leaderboard.board_store import RunStore
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


def collect(tracking_uri: str, experiment: str, *, page_size: int = 1000) -> list[LoggedCell]:
    """Read the cells of an experiment with their results.

    A cell that was run several times counts once: its newest finished run, or its newest run where none finished.

    Args:
        tracking_uri: As MLflow takes it: `sqlite:///runs.db`, `https://...`.
        experiment: Name of the experiment.
        page_size: Runs asked for at a time.

    Returns:
        One row a cell, oldest first. A run without a readable result is a row that says so.

    Raises:
        TrackingError: When the store does not answer, or holds no clbench runs.
    """
    store = RunStore(tracking_uri, experiment)
    runs = {run.info.run_id: run for run in store.cells(page_size)}
    return [_with_result(store, cell, runs[cell.run_id].data.metrics) for cell in newest(map(_cell, runs.values()))]


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


def _with_result(store: RunStore, cell: LoggedCell, metrics: Mapping[str, float]) -> LoggedCell:
    """The cell with the result of its run; with the error where that cannot be read."""
    if cell.error is not None:
        return cell
    try:
        if cell.schema == SCHEMA_OF_0_1:
            return replace(cell, result=result_of_0_1(store.read_json(cell.run_id, "matrix.json"), metrics))
        return replace(cell, result=with_current_metrics(parse_result(store.read_json(cell.run_id, FILE))))
    except DataError as error:
        return replace(cell, error=one_line(error))
