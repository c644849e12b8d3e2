"""What OLD and NEW may be: a ledger, a version of one, a run in MLflow, a sample log of lm-evaluation-harness."""

import re
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import final

from clbench.core.errors import CheckpointError, ConfigError
from clbench.core.storage import read_json
from clbench.reports.flips.lm_eval import convert_sample_log, task_of
from clbench.reports.flips.rows import Origin, Rows
from clbench.reports.leaderboard.text import encodable

RUN = re.compile(r"[0-9a-f]{32}")
VERSIONED = re.compile(r"(.+)@(\d+)")
LOGS = (".jsonl", ".json")


@final
@dataclass(frozen=True)
class Choice:
    """What the user chose for both sides.

    Args:
        protocol: Of a ledger, or the filter of a sample log; None for the first protocol, or the only filter.
        metric: Of a sample log; None for its first one.
        tracking_uri: The store that has the runs.
        experiment: Theirs.
    """

    protocol: str | None
    metric: str | None
    tracking_uri: str
    experiment: str


def load_predictions(text: str, choice: Choice, folder: Path, other: str = "") -> Rows:
    """The rows that `OLD` or `NEW` names.

    Args:
        text: A path of a ledger or of a sample log, or the id of a run; `@3` after it names a version.
        choice: What else the user chose.
        folder: A temporary folder, of this side alone.
        other: What names the other side.

    Raises:
        ConfigError: For a text that names nothing.
        DataError: For a file or a run that cannot be compared.
        TrackingError: When the tracking store does not answer.
    """
    versioned = None if Path(text).is_file() else VERSIONED.fullmatch(text)
    name, version = (versioned[1], int(versioned[2])) if versioned else (text, None)
    path = Path(name)
    if path.suffix in LOGS:
        if version is not None:
            raise ConfigError(f"{text}: a sample log has no versions")
        task = task_of(path) or _common_task(path, Path(other))
        return convert_sample_log(path, folder / "log.jsonl", choice.metric, choice.protocol, task)
    if RUN.fullmatch(name) and not path.exists():
        from clbench.reports.flips.runs import download_ledger

        title, ledger, origin = download_ledger(choice.tracking_uri, choice.experiment, name, folder)
        title = title if version is None else f"{title}@{version}"
        return Rows(title, ledger, version, choice.protocol, origin=origin)
    if path.is_dir() or not (path.suffix or path.is_file() or "/" in name):
        wanted = "a ledger (.parquet), a sample log (.jsonl, .json) or the id of an MLflow run"
        raise ConfigError(f"{text}: wanted {wanted}, got {'a folder' if path.is_dir() else 'none of them'}")
    return Rows(encodable(text), path, version, choice.protocol, origin=_origin(path))


def _common_task(path: Path, other: Path) -> str | None:
    """The task of a log named `<model>_<task>`, as up to 0.4.2: what the other log's name ends in too.

    Both models and tasks have underscores. That the documents are the same is checked by their hashes.
    """
    if other.suffix not in LOGS:
        return None
    ours, theirs = path.stem.split("_")[::-1], (task_of(other) or other.stem).split("_")[::-1]
    same = takewhile(lambda words: words[0] == words[1], zip(ours, theirs, strict=False))
    return "_".join([word for word, _ in same][::-1]) or None


def _origin(ledger: Path) -> Origin | None:
    """What the folder of a cell says of a ledger in it, or of that of one of its versions."""
    for folder in ledger.absolute().parents[:3:2]:  # a version's is two folders deeper
        try:
            values = read_json(folder / "cell.json")
        except CheckpointError:
            continue
        match values:
            case {"stream": {"name": str(stream)}, "split": str(split)}:
                return Origin(stream, split)
    return None
