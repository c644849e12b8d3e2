"""Records a suite in MLflow: one run for the suite, one nested run for each cell, a step for each version.

Names of numbers, and where they are made. Those that `headline.py` chooses are metrics; all are in `numbers.csv`.

- `<protocol>/R/<task>`, `<protocol>/<metric>`: `_numbers` below, from the registered metrics in `reports/metrics`.
- `<protocol>/flips/...`: `reports/flips/stream_flips.py`, `stream_numbers`.
- `<protocol>/update/...`: `reports/update_costs.py`.
- `challenge/<task or kind>/<metric>`: `reports/result.py`; after `<protocol>/` for all protocols but the first.
- `cost/...`: `reports/compute_result.py`.
- `seconds/...`, `passes/...`, `memory/...`: `benchmarks/engine/execution.py`.
- `update/...`: `benchmarks/engine/weight_drift.py`.
- `probe/<name>`: general ability, from the learner (`execution.py`); `probe/lm-eval/...`: `_log_probes` below.
- `<strategy>/<name>`: what a strategy records with `context.record`.

Names that MLflow does not accept are mended by `core/mlflow_store.py`, `allowed_name`.
"""

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from clbench.benchmarks.engine.cell import SCHEMA, Cell
from clbench.benchmarks.engine.cell_folder import CellFolder
from clbench.benchmarks.tracking.headline import is_headline
from clbench.benchmarks.tracking.run_contents import NOTE, NUMBERS, data_sets, description, numbers_table
from clbench.benchmarks.tracking.run_index import RunIndex
from clbench.benchmarks.tracking.store import (
    TAG,
    connect,
    create_run,
    log_metrics,
    log_parameters,
    model_name,
    settle,
)
from clbench.benchmarks.tracking.system_metrics import SystemMetrics
from clbench.contracts import Stream
from clbench.core import strict_json
from clbench.core.mlflow_store import fitting, one_line_errors, shown_uri
from clbench.core.storage import write_json
from clbench.reports.result import FILE, CellResult, VersionResult

GONE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""Error codes of MLflow for a run that does not exist, or an id that cannot be one."""


class Tracker:
    """Copies results on disk to MLflow; each call logs only what the run does not have yet.

    A run that was deleted in MLflow, or lost with its database, is replaced by a new one that gets everything.

    Args:
        uri: Address of the tracking store.
        out: Output folder; artifacts of a local store go there.
        suite: Name of the suite.
        folder: The suite's folder, in which the id of its run is stored.
        environment: Result of `environment.describe`.

    Raises:
        TrackingError: When the store does not answer.
    """

    def __init__(self, uri: str, out: Path, suite: str, folder: Path, environment: Mapping[str, object]) -> None:
        self._uri = uri
        self._store = shown_uri(uri)  # stored in folders as the store's name: without a password
        self._there: set[str] = set()
        self._suite = suite
        self._environment = environment
        self._current: str | None = None
        self._system = SystemMetrics(uri)
        self._client, self.experiment = connect(uri, out)
        self.changed = False
        """Whether something was logged that pages made from the store may show."""
        tags = {"clbench.kind": "suite", "clbench.schema": str(SCHEMA), "clbench.suite": suite}
        with one_line_errors(uri):
            self._parent = self._run_of(RunIndex(folder), suite, tags)

    def begin(self, cell: Cell, folder: CellFolder) -> None:
        """Open the cell's run, or the one that an earlier call opened."""
        with one_line_errors(self._uri):
            run = self._cell_run(cell, folder)
            self._client.update_run(run, status="RUNNING")
            self._current = run
            self._system.start(run)

    def log_versions(self, cell: Cell, folder: CellFolder) -> None:
        """Log the versions that are on disk and not yet in the run, in one batch each."""
        last, index = folder.last_version, RunIndex(folder.path)
        with one_line_errors(self._uri):
            run = self._cell_run(cell, folder)
            logged = index.logged(run)
            if last is None or last <= logged:
                return
            missing = range(logged + 1, last + 1)
            results = folder.version_results(cell.load_stream(), missing)
            for version in missing:
                own = {protocol: found[version] for protocol, found in results.items()}
                numbers = folder.record(version).numbers | _numbers(cell.load_stream(), own)
                self._log(run, version, _chosen(cell, numbers), self._model(cell, index, run, version))
        index.remember("logged", run, last)

    def finish(self, cell: Cell, folder: CellFolder) -> None:
        """Log what is missing, the result and the files, and close the run.

        A run that is closed already gets the result again where the code of a metric has changed since: of numbers with
        equal step MLflow shows the newest.
        """
        result, index = folder.result(cell.load_stream()), RunIndex(folder.path)
        with one_line_errors(self._uri):
            known = self._known(index)
        if known is None or not index.closed(known):
            self.log_versions(cell, folder)
            with one_line_errors(self._uri):
                known = self._cell_run(cell, folder)
                self._system.stop(known)
                self._log_result(known, cell, folder, result)
                self._log_files(known, cell, folder, result)
                self._client.log_inputs(known, data_sets(cell))
                self._client.set_terminated(known, "FINISHED")
            self._current = None
            index.remember("closed", known, True)
        elif index.code(known) != result.code:
            with one_line_errors(self._uri):
                for version in range(result.last_version + 1):
                    numbers = _chosen(cell, _numbers(cell.load_stream(), result.at(version)))
                    self._log(known, version, numbers, index.model(known, version))
                self._log_result(known, cell, folder, result)
        index.remember("code", known, result.code)
        self._log_probes(known, folder, index)

    def _log_result(self, run: str, cell: Cell, folder: CellFolder, result: CellResult) -> None:
        """What is known when the last version is there: costs, flips, the table of all numbers, and the result."""
        index, stream, every = RunIndex(folder.path), cell.load_stream(), []
        for version in range(result.last_version + 1):
            found = result.at(version)
            late = {
                f"{protocol}/{name}": x
                for protocol, of in found.items()
                for name, x in {**of.flips, **of.update}.items()
            }
            late |= result.costs if version == result.last_version else {}
            self._log(run, version, _chosen(cell, late), index.model(run, version))
            every.append(folder.record(version).numbers | _numbers(stream, found) | late)
        self._client.log_text(run, numbers_table(every), NUMBERS)
        self._client.log_artifact(run, str(folder.path / FILE))
        self._client.set_tag(run, "clbench.schema", str(SCHEMA))
        self._client.set_tag(run, NOTE, fitting(description(cell, result), TAG))

    def _model(self, cell: Cell, index: RunIndex, run: str, version: int) -> str:
        """The logged model of a version, made if need be; it has metrics and no files."""
        from mlflow.entities import LoggedModelOutput

        model = index.model(run, version)
        if model is None:
            update = cell.load_stream().updates[version - 1] if version else None
            label, kind = (update.label, update.kind) if update else ("pre-trained", "none")
            facts = {"version": str(version), "update": kind, "strategy": cell.label, "learner": cell.names[1]}
            made = self._client.create_logged_model(
                self.experiment,
                model_name(f"{version:03}-{label}-{cell.label}-seed-{cell.seed}"),
                source_run_id=run,
                params={name: fitting(value, TAG) for name, value in facts.items()},
            )
            model = str(made.model_id)
            self._client.finalize_logged_model(model, "READY")
            self._client.log_outputs(run, [LoggedModelOutput(model, version)])
            index.remember("models", f"{run}/{version}", model)
        return model

    def _log_probes(self, run: str, folder: CellFolder, index: RunIndex) -> None:
        """What lm-evaluation-harness measured, which may be asked for long after the cell was finished."""
        found = folder.probes.all()
        count = sum(len(answers) for answers in found.values())
        if count == index.probed(run):
            return
        with one_line_errors(self._uri):
            for version, answers in found.items():
                numbers = {f"probe/{name}": value for row in answers.values() for name, value in row.items()}
                self._log(run, version, numbers, index.model(run, version))
        index.remember("probed", run, count)

    def _log(self, run: str, version: int, numbers: Mapping[str, float], model: str | None) -> None:
        """Log numbers of a version, now, for the run and for the version's logged model."""
        self.changed = True
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, version, model_id=model) for name, value in numbers.items()]
        log_metrics(self._client, run, metrics)

    def fail(self, cell: Cell, folder: CellFolder, error: str) -> None:
        """Close the cell's run as failed.

        Args:
            cell: The cell.
            folder: Folder of the cell.
            error: The error in one line.
        """
        with one_line_errors(self._uri):
            run = self._cell_run(cell, folder)
            self._system.stop(run)
            self.changed = True
            self._client.set_tag(run, "clbench.error", fitting(error, 500))
            self._client.log_text(run, strict_json.dumps(dict(self._environment), indent=1), "environment.json")
            self._client.set_terminated(run, "FAILED")
        self._current = None

    def interrupt(self) -> None:
        """Mark the suite's run, and the cell's that was running, as killed."""
        self._system.stop()
        with one_line_errors(self._uri):
            for run in filter(None, (self._current, self._parent)):
                self._client.set_terminated(run, "KILLED")

    def close(self, failed: bool) -> None:
        """Close the suite's run."""
        self._system.stop()
        with one_line_errors(self._uri):
            self._client.set_terminated(self._parent, "FAILED" if failed else "FINISHED")
        settle(self._uri)

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
        name = f"{cell.label} / seed {cell.seed} / {cell.names[0]} / {cell.names[1]}"  # columns cut the end
        return self._run_of(RunIndex(folder.path), name, tags, flat(cell.resolved))

    def _run_of(
        self, index: RunIndex, name: str, tags: dict[str, str], parameters: Mapping[str, str] | None = None
    ) -> str:
        """The run of a folder in this store, or a new one."""
        known = self._known(index)
        if known is not None:
            return known
        run = create_run(self._client, self.experiment, name, tags)
        log_parameters(self._client, run, parameters or {})
        index.remember("runs", self._store, run)
        self._there.add(run)
        return run

    def _known(self, index: RunIndex) -> str | None:
        """The run of a folder, if the store still has it; the store is asked once for each run."""
        from mlflow.exceptions import MlflowException

        run = index.run(self._store)
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

    def _log_files(self, run: str, cell: Cell, folder: CellFolder, result: CellResult) -> None:
        """Log the settings, the environment, the ledger, and R as CSV and as an image."""
        from clbench.reports.figures import matrix_figure

        with tempfile.TemporaryDirectory() as name:
            temporary = Path(name)
            write_json(temporary / "config.json", cell.resolved)
            write_json(temporary / "environment.json", self._environment)
            for protocol, matrix in result.matrices.items():
                (temporary / f"R-{protocol}.csv").write_text(matrix.to_csv(), encoding="utf-8")
                matrix_figure(matrix, f"{cell.title} ({protocol})", temporary / f"matrix-{protocol}.png")
            self._client.log_artifacts(run, str(temporary))
        for name in ("ledger.parquet", "forget.json"):
            if (path := folder.path / name).is_file():
                self._client.log_artifact(run, str(path))


def summary_tags(environment: Mapping[str, object]) -> dict[str, str]:
    """Tags of the environment that the leaderboard shows; all of it is in `environment.json`."""
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


def _chosen(cell: Cell, numbers: Mapping[str, float]) -> dict[str, float]:
    """The numbers that are metrics of the run."""
    protocols = cell.load_stream().protocols
    return {name: value for name, value in numbers.items() if is_headline(name, protocols)}


def _numbers(stream: Stream, results: Mapping[str, VersionResult]) -> dict[str, float]:
    """R's row, challenge metrics and the metrics of the stream so far, of one version under all protocols."""
    numbers: dict[str, float] = {}
    for protocol, result in results.items():
        prefix = f"{protocol}/" if protocol != stream.protocols[0] else ""
        numbers |= {prefix + name: value for name, value in result.challenge.numbers().items()}
        row = zip((task.name for task in stream.tasks), result.scores, strict=True)
        numbers |= {f"{protocol}/R/{task}": score for task, score in row if score is not None}
        numbers |= {f"{protocol}/{name}": value for name, value in result.metrics.items() if value is not None}
    return numbers
