"""The inputs of `clbench compare`: ledgers, versions of them, MLflow runs, logs of other tools and CSV files."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import final

from clbench.core.errors import CheckpointError, ConfigError, DataError
from clbench.core.storage import read_json
from clbench.reports.flips.answers_csv import read_answers_csv
from clbench.reports.flips.every_eval_ever import is_aggregate, is_record, read_records
from clbench.reports.flips.inspect_log import is_inspect_log, read_inspect_log
from clbench.reports.flips.lm_eval import convert_sample_log, task_of
from clbench.reports.flips.lm_eval_lines import first_object, read_objects
from clbench.reports.flips.predictions import Origin, Predictions
from clbench.reports.forgotten import Forgotten, read_forgotten
from clbench.reports.leaderboard.text import encodable

RUN = re.compile(r"[0-9a-f]{32}")
VERSIONED = re.compile(r"(.+)@(\d+)")
LOGS = (".jsonl", ".json")
CSV = ".csv"


@final
@dataclass(frozen=True)
class InputOptions:
    """How to read the predictions of both models.

    Args:
        protocol: Protocol of a ledger, or filter of a sample log; None for the first protocol, or the only filter.
        metric: Metric of a sample log, scorer of a log of inspect_ai, or `evaluation_result_id` of records of Every
            Eval Ever; None for the first metric that is a number, the first scorer, or the only result.
        tracking_uri: Address of the MLflow store that has the runs.
        experiment: Name of the MLflow experiment that has the runs.
    """

    protocol: str | None
    metric: str | None
    tracking_uri: str
    experiment: str


def load_predictions(text: str, options: InputOptions, folder: Path, other: str = "") -> Predictions:
    """The predictions that `OLD` or `NEW` names.

    Args:
        text: Path of a ledger, of a log or of a CSV file, or id of an MLflow run; `@3` at its end selects version 3.
        options: How to read them.
        folder: A temporary folder for this input only.
        other: The text of the other input, from which the task of an old sample log is known.

    Raises:
        ConfigError: For a text that names none of these.
        DataError: For a file or a run that cannot be compared, or a malformed `forget.json` beside the ledger.
        TrackingError: If the tracking store does not answer.
    """
    versioned = None if Path(text).is_file() else VERSIONED.fullmatch(text)
    name, version = (versioned[1], int(versioned[2])) if versioned else (text, None)
    path = Path(name)
    if path.suffix in (*LOGS, CSV):
        if version is not None:
            raise ConfigError(f"{text}: a {'CSV file' if path.suffix == CSV else 'sample log'} has no versions")
        return _load_file(path, options, folder, other)
    if path.suffix == ".eval":
        raise ConfigError(f"{text}: wanted inspect_ai's log as JSON: write it with `inspect log dump {path.name}`")
    if RUN.fullmatch(name) and not path.exists():
        from clbench.reports.flips.runs import download_ledger

        title, ledger, origin = download_ledger(options.tracking_uri, options.experiment, name, folder)
        title = title if version is None else f"{title}@{version}"
        forgotten = read_forgotten(ledger.parent)
        return Predictions(title, ledger, version, options.protocol, origin=origin, forgotten=forgotten)
    if path.is_dir() or not (path.suffix or path.is_file() or "/" in name):
        wanted = "a ledger (.parquet), a log (.jsonl, .json), a CSV file (.csv) or the id of an MLflow run"
        raise ConfigError(f"{text}: wanted {wanted}, got {'a folder' if path.is_dir() else 'none of them'}")
    return Predictions(
        encodable(text), path, version, options.protocol, origin=_origin(path), forgotten=_forgotten(path)
    )


def _load_file(path: Path, options: InputOptions, folder: Path, other: str) -> Predictions:
    """The predictions of a file of another tool, whose kind its content tells."""
    if path.suffix == CSV:
        found = read_answers_csv(path)
    else:
        first = first_object(path)
        if is_inspect_log(first):
            found = read_inspect_log(path, first, options.metric)
        elif is_record(first):
            found = read_records(path, read_objects(path), options.metric)
        elif is_aggregate(first):
            raise DataError(f"{path}: wanted Every Eval Ever's records of single samples (.jsonl), got the results")
        else:
            task = task_of(path) or _common_task(path, Path(other))
            return convert_sample_log(path, folder / "log.jsonl", options.metric, options.protocol, task)
    if options.protocol is not None:
        raise ConfigError(f"{path}: has no protocols or filters, got {options.protocol!r}")
    return found


def _common_task(path: Path, other: Path) -> str | None:
    """The task of a log named `<model>_<task>` (lm-evaluation-harness up to 0.4.2): the common end of both logs' names.

    Names of models and of tasks have underscores, so one name alone does not say where the task begins. Hashes of the
    documents are compared later, so a wrong guess pairs no samples.
    """
    if other.suffix not in LOGS:
        return None
    ours, theirs = path.stem.split("_")[::-1], (task_of(other) or other.stem).split("_")[::-1]
    same = takewhile(lambda words: words[0] == words[1], zip(ours, theirs, strict=False))
    return "_".join([word for word, _ in same][::-1]) or None


def _folders(ledger: Path) -> Sequence[Path]:
    """The folder of a ledger, and that of the cell if it is the ledger of a version, which lies two folders deeper."""
    return ledger.absolute().parents[:3:2]


def _forgotten(ledger: Path) -> dict[int, frozenset[Forgotten]]:
    return next(filter(None, map(read_forgotten, _folders(ledger))), {})


def _origin(ledger: Path) -> Origin | None:
    """The stream and part of a ledger in the folder of a cell or of one of its versions; None elsewhere."""
    for folder in _folders(ledger):
        try:
            values = read_json(folder / "cell.json")
        except CheckpointError:
            continue
        match values:
            case {"stream": {"name": str(stream)}, "split": str(split)}:
                return Origin(stream, split)
    return None
