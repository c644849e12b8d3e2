"""The result of a search in MLflow: a run with the choice and the file, beside the runs of its trials."""

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from clbench.benchmarks.engine.cell import SCHEMA
from clbench.benchmarks.engine.runner import RunOptions
from clbench.benchmarks.tracking.run_index import RunIndex
from clbench.benchmarks.tracking.store import TAG, connect, create_run, log_metrics, log_parameters
from clbench.benchmarks.tuning.trials import Trials
from clbench.benchmarks.tuning.tuned_record import Tuned
from clbench.core.mlflow_store import fitting, one_line_errors, shown_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient

RECORD = "clbench.record"
"""Tag with the hash of the file; it is set last, so a run that has it has everything."""


def log_search(options: RunOptions, path: Path, tuned: Tuned, cells: Trials) -> None:
    """Log the file once, and mark the runs of its trials; the same file again is not logged again.

    Another result of the same trials is another run: MLflow's parameters cannot change.

    Args:
        options: Say which store.
        path: The file.
        tuned: What is in it.
        cells: The trials.

    Raises:
        TrackingError: When the store does not answer or refuses.
    """
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    client, experiment = connect(options.tracking_uri, options.out)
    with one_line_errors(options.tracking_uri):
        if client.search_runs([experiment], f"tags.`{RECORD}` = '{digest}'", max_results=1):
            return
        store = shown_uri(options.tracking_uri)
        for number, run in _runs(cells, store):
            client.set_tag(run, "clbench.search", fitting(path.stem, TAG))
            client.set_tag(run, "clbench.trial", str(number))
        run = _log_record(client, experiment, path, tuned, RunIndex(cells.folder).run(store))
        client.set_tag(run, RECORD, digest)
        client.set_terminated(run, "FINISHED")


def _log_record(client: "MlflowClient", experiment: str, path: Path, tuned: Tuned, parent: str | None) -> str:
    from mlflow.entities import Metric

    tags = {
        "clbench.kind": "search",
        "clbench.schema": str(SCHEMA),
        "clbench.search": path.stem,
        "clbench.suite": tuned.suite,
        "clbench.stream": tuned.stream,
        "clbench.learner": tuned.learner,
        "clbench.split": tuned.split,
        "clbench.criterion": f"{tuned.protocol}/{tuned.criterion}",
        **({"mlflow.parentRunId": parent} if parent else {}),
    }
    run = create_run(client, experiment, path.stem, tags)
    params = {"trials_each": str(tuned.trials_each), "seeds": ",".join(map(str, tuned.seeds))}
    for choice in tuned.chosen:
        title = " ".join([choice.strategy, *(f"{key} {value}" for key, value in choice.given.items())])
        params |= {f"{title}/{key}": str(value) for key, value in choice.settings.items()}
        log_metrics(client, run, [Metric(f"best/{title}", choice.value, int(time.time() * 1000), 0)])
    log_parameters(client, run, params)
    client.log_artifact(run, str(path))
    return run


def _runs(cells: Trials, store: str) -> Iterator[tuple[int, str]]:
    """Number of the trial and run, for all cells of which the store has one."""
    for number, trial in enumerate(cells.done):
        for cell in trial.cells:
            run = RunIndex(cells.folder_of(cell).path).run(store)
            if run is not None:
                yield number, run
