"""MLflow to typed rows: of every cell, the run that counts."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from clbench.core.errors import DataError
from clbench.core.mlflow_store import one_line
from clbench.reports.leaderboard.board_store import RunStore
from clbench.reports.leaderboard.logged_cell import CHALLENGE, COST, SCHEMA, Cell, read_matrices

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


def collect(tracking_uri: str, experiment: str, *, page_size: int = 1000) -> list[Cell]:
    """Read the cells of an experiment with their accuracy matrices.

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
    runs = newest([_cell(run) for run in store.cells(page_size)])
    return [_with_matrices(store, cell) for cell in runs]


def newest(cells: Iterable[Cell]) -> list[Cell]:
    """Of the runs of each cell the newest finished one, else the newest; oldest first."""
    chosen: dict[str, Cell] = {}
    for cell in sorted(cells, key=lambda cell: (cell.status == "FINISHED", cell.started, cell.run_id)):
        chosen[cell.key] = cell
    return sorted(chosen.values(), key=lambda cell: (cell.started, cell.run_id))


def _cell(run: "Run") -> Cell:
    tags: Mapping[str, str] = run.data.tags
    status: str = run.info.status

    def tag(name: str, otherwise: str = WITHOUT_A_TAG) -> str:
        return tags.get(f"clbench.{name}", "") or otherwise

    strategy = tag("strategy")
    return Cell(
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
        error=_error(status, tag("schema"), tag("error", "")),
        cost={name: float(value) for name, value in run.data.metrics.items() if name in COST},
        challenge={name: float(value) for name, value in run.data.metrics.items() if name in CHALLENGE},
        environment={
            name.removeprefix("clbench."): value
            for name, value in tags.items()
            if name.startswith("clbench.") and name not in KNOWN_TAGS
        },
    )


def _error(status: str, schema: str, error: str) -> str | None:
    if schema != SCHEMA:
        return f"clbench.schema of the run: wanted {SCHEMA}, got {one_line(schema)}"
    if status == "FINISHED":
        return None
    return one_line(error) if error else f"no error was recorded, the status is {status}"


def _with_matrices(store: RunStore, cell: Cell) -> Cell:
    if cell.error is not None:
        return cell
    try:
        return replace(cell, matrices=read_matrices(store.read_json(cell.run_id, "matrix.json")))
    except DataError as error:
        return replace(cell, error=one_line(error))
