"""Records a suite in MLflow: one run for the suite, one nested run for each cell, a step for each version."""

import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from clbench.benchmarks.engine.cell import SCHEMA, Cell
from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.benchmarks.engine.execution import matrices
from clbench.benchmarks.evaluation.challenge_metrics import challenge_numbers
from clbench.benchmarks.tracking.run_index import RunIndex
from clbench.benchmarks.tracking.store import connect, create_run, log_metrics, log_parameters
from clbench.contracts import Stream
from clbench.core import strict_json
from clbench.core.mlflow_store import fitting, one_line_errors, shown_uri
from clbench.core.storage import write_json
from clbench.reports.flips.stream_flips import stream_numbers
from clbench.reports.matrix import ScoreMatrix
from clbench.reports.metrics._compute import compute_all
from clbench.spec.ledger import read_ledger

if TYPE_CHECKING:
    from mlflow.entities import Metric

GONE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""What MLflow says of a run that it does not have, or never could have."""


class Tracker:
    """Copies what is on disk to MLflow; safe to call again, logs only what is not there yet.

    A run that was deleted in MLflow, or went away with its database, is replaced by a new one that gets everything.

    Args:
        uri: The tracking store.
        out: Output folder; artifacts of a local store go there.
        suite: Name of the suite.
        folder: The suite's folder, which remembers its run.
        environment: What `environment.describe` gave.

    Raises:
        TrackingError: When the store does not answer.
    """

    def __init__(self, uri: str, out: Path, suite: str, folder: Path, environment: Mapping[str, object]) -> None:
        self._uri = uri
        self._store = shown_uri(uri)  # by which folders remember it: no password goes to disk
        self._there: set[str] = set()
        self._suite = suite
        self._environment = environment
        self._current: str | None = None
        self._client, self.experiment = connect(uri, out)
        tags = {"clbench.kind": "suite", "clbench.schema": str(SCHEMA), "clbench.suite": suite}
        with one_line_errors(uri):
            self._parent = self._run_of(RunIndex(folder), suite, tags)

    def begin(self, cell: Cell, folder: CellFolder) -> None:
        """Open the cell's run, or go on with the one that an earlier call opened."""
        with one_line_errors(self._uri):
            run = self._cell_run(cell, folder)
            self._client.update_run(run, status="RUNNING")
            self._current = run

    def version(self, cell: Cell, folder: CellFolder, stream: Stream) -> None:
        """Log the versions that are on disk and not yet in the run, in one batch each."""
        last = folder.last_version
        memory = RunIndex(folder.path)
        with one_line_errors(self._uri):
            run = self._cell_run(cell, folder)
            logged = memory.logged(run)
            if last is None or last <= logged:
                return
            found = matrices(stream, folder)
            for version in range(logged + 1, last + 1):
                log_metrics(self._client, run, _metrics_of_version(folder, stream, found, version))
        memory.remember("logged", run, last)

    def finish(self, cell: Cell, folder: CellFolder, stream: Stream) -> None:
        """Log what is missing, the files, and close the run."""
        memory = RunIndex(folder.path)
        with one_line_errors(self._uri):
            run_there = self._known(memory)
        if run_there is not None and memory.closed(run_there):
            self._log_probes(run_there, folder, memory)
            return
        self.version(cell, folder, stream)
        with one_line_errors(self._uri):
            run = self._cell_run(cell, folder)
            with tempfile.TemporaryDirectory() as temporary:
                self._log_files(run, cell, folder, stream, Path(temporary))
            for metrics in (_costs(folder), *(() if cell.last_only else _flips(folder, stream))):
                log_metrics(self._client, run, metrics)
            self._client.set_terminated(run, "FINISHED")
        self._current = None
        memory.remember("closed", run, True)
        self._log_probes(run, folder, memory)

    def _log_probes(self, run: str, folder: CellFolder, memory: RunIndex) -> None:
        """What others' programs measured, which may be asked for long after the cell was finished."""
        from mlflow.entities import Metric

        found, now = folder.probes(), int(time.time() * 1000)
        count = sum(len(answers) for answers in found.values())
        if count == memory.probed(run):
            return
        metrics = [
            Metric(f"probe/{name}", value, now, version)
            for version, answers in found.items()
            for numbers in answers.values()
            for name, value in numbers.items()
        ]
        with one_line_errors(self._uri):
            log_metrics(self._client, run, metrics)
        memory.remember("probed", run, count)

    def fail(self, cell: Cell, folder: CellFolder, error: str) -> None:
        """Close the cell's run as failed, with the error in one line."""
        with one_line_errors(self._uri):
            run = self._cell_run(cell, folder)
            self._client.set_tag(run, "clbench.error", fitting(error, 500))
            self._client.log_text(run, strict_json.dumps(dict(self._environment), indent=1), "environment.json")
            self._client.set_terminated(run, "FAILED")
        self._current = None

    def interrupt(self) -> None:
        """Mark the suite's run, and the cell's that was running, as killed."""
        with one_line_errors(self._uri):
            for run in filter(None, (self._current, self._parent)):
                self._client.set_terminated(run, "KILLED")

    def close(self, failed: bool) -> None:
        """Close the suite's run."""
        with one_line_errors(self._uri):
            self._client.set_terminated(self._parent, "FAILED" if failed else "FINISHED")

    def _cell_run(self, cell: Cell, folder: CellFolder) -> str:
        tags = {
            "clbench.kind": "cell",
            "clbench.schema": str(SCHEMA),
            "clbench.suite": self._suite,
            "clbench.stream": cell.names[0],
            "clbench.learner": cell.names[1],
            **({"clbench.releases": ", ".join(found)} if (found := cell.load_stream().releases) else {}),
            "clbench.strategy": cell.names[2],
            "clbench.label": cell.label,
            "clbench.seed": str(cell.seed),
            "clbench.budget": f"{cell.budget.steps} steps of {cell.budget.batch_size} a task",
            "clbench.split": cell.split,
            "clbench.cell": cell.digest,
            "mlflow.parentRunId": self._parent,
            **summary_tags(self._environment),
            **_data_deviations(cell),
        }
        return self._run_of(RunIndex(folder.path), cell.title, tags, flat(cell.resolved))

    def _run_of(
        self, memory: RunIndex, name: str, tags: dict[str, str], parameters: Mapping[str, str] | None = None
    ) -> str:
        """The run that a folder remembers in this store, or a new one."""
        known = self._known(memory)
        if known is not None:
            return known
        run = create_run(self._client, self.experiment, name, tags)
        log_parameters(self._client, run, parameters or {})
        memory.remember("runs", self._store, run)
        self._there.add(run)
        return run

    def _known(self, memory: RunIndex) -> str | None:
        """The run that a folder remembers, if the store still has it, which is asked once a run."""
        from mlflow.exceptions import MlflowException

        run = memory.run(self._store)
        if run is None or run in self._there:
            return run
        try:
            if self._client.get_run(run).info.lifecycle_stage == "deleted":
                return None
        except MlflowException as error:
            if error.error_code in GONE:
                return None
            raise
        self._there.add(run)
        return run

    def _log_files(self, run: str, cell: Cell, folder: CellFolder, stream: Stream, temporary: Path) -> None:
        from clbench.reports.figures import matrix_figure

        write_json(temporary / "config.json", cell.resolved)
        write_json(temporary / "environment.json", self._environment)
        for protocol, matrix in matrices(stream, folder).items():
            (temporary / f"R-{protocol}.csv").write_text(matrix.to_csv(), encoding="utf-8")
            matrix_figure(matrix, f"{cell.title} ({protocol})", temporary / f"matrix-{protocol}.png")
        self._client.log_artifacts(run, str(temporary))
        for name in ("ledger.parquet", "matrix.json", "challenge.json"):
            if (folder.path / name).exists():
                self._client.log_artifact(run, str(folder.path / name))


def summary_tags(environment: Mapping[str, object]) -> dict[str, str]:
    """What the leaderboard says of the environment; the whole of it is in `environment.json`."""
    packages = cast(Mapping[str, object], environment.get("packages", {}))
    hardware = cast(Mapping[str, object], environment.get("hardware", {}))
    git = cast(Mapping[str, object], environment.get("git", {}))
    device = hardware.get("gpu") or f"{hardware.get('processor')}, {hardware.get('threads')} threads"
    revision = str(git.get("revision", "not from a checkout"))[:12]
    return {
        "clbench.hardware": str(device),
        "clbench.python": str(environment.get("python")),
        "clbench.packages": ", ".join(f"{name} {version}" for name, version in packages.items() if version),
        "clbench.revision": revision + (" with uncommitted changes" if git.get("dirty") else ""),
    }


def _data_deviations(cell: Cell) -> dict[str, str]:
    """A tag, shown on the leaderboard, of runs on other data than the published."""
    found = cell.load_stream().data_deviations
    return {"clbench.data": f"{cell.names[0]} is not as published: {'; '.join(found)}"[:4000]} if found else {}


def flat(values: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Nested settings as `a.b` names and texts, as MLflow parameters want them."""
    result: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            result |= flat(value, f"{prefix}{key}.")
        else:
            result[prefix + key] = str(value)
    return result


def _metrics_of_version(
    folder: CellFolder, stream: Stream, found: Mapping[str, ScoreMatrix], version: int
) -> "list[Metric]":
    """R's row, official metrics of images, and every metric of the stream as if it ended with this version."""
    from mlflow.entities import Metric

    values = folder.record(version).numbers | challenge_numbers(stream, folder, version)
    for protocol, matrix in found.items():
        values |= {
            f"{protocol}/R/{task}": float(x) for task, x in zip(matrix.tasks, matrix.scores[version], strict=True)
        }
        if version:
            values |= {
                f"{protocol}/{name}": x
                for name, x in compute_all(_until(matrix, version)).values.items()
                if x is not None
            }
    now = int(time.time() * 1000)
    return [Metric(name, value, now, version) for name, value in values.items()]


def _costs(folder: CellFolder) -> "list[Metric]":
    """What the cell took, over all versions: seconds added up, the highest peak of memory.

    In folders of earlier code decoding is a part of training and testing, and has no number of its own.
    """
    from mlflow.entities import Metric

    last = folder.last_version
    assert last is not None  # it is finished
    numbers = [folder.record(version).numbers for version in range(last + 1)]
    values = {
        f"cost/{name}_seconds": sum(found[f"seconds/{key}"] for found in numbers)
        for name, key in {"train": "train", "test": "eval", "decode": "decode", "taken_over": "taken_over"}.items()
        if all(f"seconds/{key}" in found for found in numbers)
    }
    for name in ("peak_mb", "process_peak_mb"):
        peaks = [found[f"memory/{name}"] for found in numbers if f"memory/{name}" in found]
        if peaks:
            values[f"cost/{name}"] = max(peaks)
    now = int(time.time() * 1000)
    return [Metric(name, value, now, last) for name, value in values.items()]


def _flips(folder: CellFolder, stream: Stream) -> "Iterator[list[Metric]]":
    """Flips of every version against the one before, and from first learnt to last, a batch a protocol."""
    from mlflow.entities import Metric

    ledger, now = read_ledger(folder.path / "ledger.parquet"), int(time.time() * 1000)
    for protocol in stream.protocols:
        found = stream_numbers(ledger, protocol, releases=bool(stream.releases))
        yield [
            Metric(f"{protocol}/{name}", value, now, version)
            for version, numbers in found.items()
            for name, value in numbers.items()
        ]


def _until(matrix: ScoreMatrix, version: int) -> ScoreMatrix:
    """The matrix of the stream cut after a version and, where it learnt one, its task."""
    if matrix.releases:
        return ScoreMatrix(matrix.tasks, matrix.scores[: version + 1], matrix.releases[:version])
    return ScoreMatrix(matrix.tasks[:version], matrix.scores[: version + 1, :version])
