"""Pictures with class labels in Parquet: `<task>/{train,validation,test}.parquet`."""

import hashlib
import json
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clbench.contracts.stream import Stream
from clbench.contracts.task import SPLITS, Split, Task
from clbench.errors import DataError
from clbench.registry import LOADERS
from clbench.streams.card import DataChoice, StreamCard, TaskCard

if TYPE_CHECKING:
    from datasets import Dataset

COLUMNS = ("sample_id", "image", "label")


@LOADERS.register("image-parquet")
def load_image_parquet(card: StreamCard, choice: DataChoice) -> Stream:
    """A stream of picture classification tasks from files that Hugging Face `datasets` wrote.

    Each file has the columns `sample_id` (string), `image` (Image), `label` (ClassLabel, whose names are the classes).

    Raises:
        DataError: When a file is missing, damaged or lacks a column.
    """
    if choice.folder is None:
        raise DataError(f"stream {card.name!r} has no data of its own: it needs --root DIR with a folder for each task")
    tasks = tuple(_task(task, choice.folder / task.name) for task in card.tasks)
    return Stream(card.name, tasks, card.protocols, card.learner, card.model_dump(mode="json"))


def _task(card: TaskCard, folder: Path) -> Task:
    paths: dict[Split, Path] = {split: folder / f"{split}.parquet" for split in SPLITS}
    names = {split: _class_names(path) for split, path in paths.items()}
    classes = names["train"]
    if any(other != classes for other in names.values()):
        raise DataError(f"{folder}: the splits do not have the same class names")
    load, fingerprint = partial(_rows_of, paths, classes), partial(_fingerprint, paths, classes)
    return Task(card.name, card.kind, card.metric, load, fingerprint, classes, card.templates or ("{}",))


def _rows_of(paths: dict[Split, Path], classes: tuple[str, ...], split: Split) -> "Dataset":
    from datasets import ClassLabel, Dataset, Features, Image, Value
    from datasets.table import InMemoryTable

    path = paths[split]
    features = Features({"sample_id": Value("string"), "image": Image(), "label": ClassLabel(names=list(classes))})
    try:
        table = pq.read_table(path, columns=list(COLUMNS)).select(COLUMNS).cast(features.arrow_schema)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path}: damaged: {str(error).splitlines()[0]}") from None
    _check(path, table, len(classes))
    return Dataset(InMemoryTable(table))


def _check(path: Path, table: pa.Table, classes: int) -> None:
    """Refuse what would go wrong much later: no rows, nothing in a cell, an id twice, a label without a class."""
    if not len(table):
        raise DataError(f"{path}: wanted at least one row, got none")
    for name in COLUMNS:
        column = table[name]
        if column.null_count:
            row = column.is_null().index(True).as_py()
            raise DataError(f"{path}: {column.null_count} of {len(column)} rows have no {name}, the first is row {row}")
    counts = pc.value_counts(table["sample_id"]).to_pylist()
    twice = next((item["values"] for item in counts if item["counts"] > 1), None)
    if twice is not None:
        raise DataError(f"{path}: the sample id {twice!r} is there more than once")
    ends = pc.min_max(table["label"]).as_py()
    if ends["min"] < 0 or ends["max"] >= classes:
        raise DataError(f"{path}: labels must be 0 to {classes - 1}, got {ends['min']} to {ends['max']}")


def _fingerprint(paths: dict[Split, Path], classes: tuple[str, ...], split: Split) -> str:
    path = paths[split]
    stat = path.stat()
    return hashlib.sha256(f"{_sha256(path, (stat.st_mtime_ns, stat.st_size))} {classes!r}".encode()).hexdigest()


@lru_cache(maxsize=1024)
def _sha256(path: Path, _state: tuple[int, int]) -> str:
    """Hash of a file; its time and size are an argument so that a changed file is hashed again."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _class_names(path: Path) -> tuple[str, ...]:
    """Class names from the file's schema, without reading its rows."""
    try:
        schema = pq.read_schema(path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: damaged or not Parquet: {str(error).splitlines()[0]}") from None
    missing = [name for name in COLUMNS if name not in schema.names]
    if missing:
        raise DataError(f"{path}: column {missing[0]!r} is missing (wanted {', '.join(COLUMNS)})")
    if not pa.types.is_integer(schema.field("label").type):
        raise DataError(f"{path}: column 'label' must hold integers, got {schema.field('label').type}")
    return _names_in((schema.metadata or {}).get(b"huggingface", b"{}"), path)


def _names_in(metadata: bytes, path: Path) -> tuple[str, ...]:
    """The class names in what `datasets` writes beside the columns."""
    wanted = f"{path}: the column 'label' has no class names (wanted a ClassLabel feature in the schema"
    try:
        values: Any = json.loads(metadata)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{wanted}, got metadata that are no JSON: {error})") from None
    match values:
        case {"info": {"features": {"label": {"names": [*names]}}}} if names:
            if all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
                return tuple(names)
            raise DataError(f"{wanted} with a different text for each class)")
    raise DataError(f"{wanted})")
