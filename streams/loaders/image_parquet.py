"""Pictures with class labels in Parquet: `<task>/{train,validation,test}.parquet`."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from clbench.contracts.stream import Stream
from clbench.contracts.task import SPLITS, Split, Task
from clbench.errors import DataError
from clbench.registry import LOADERS
from clbench.streams.card import DataChoice, StreamCard

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
    assert choice.folder is not None
    folder = choice.folder
    tasks = []
    for task in card.tasks:
        paths = {split: folder / task.name / f"{split}.parquet" for split in SPLITS}
        names = [_class_names(path) for path in paths.values()]
        if any(other != names[0] for other in names):
            raise DataError(f"{folder / task.name}: the splits do not have the same class names")
        tasks.append(Task(task.name, task.kind, task.metric, _reader(paths), _printer(paths), names[0], task.templates or ("{}",)))
    return Stream(card.name, tuple(tasks), card.protocols, card.learner, card.model_dump(mode="json"))


def _reader(paths: dict[Split, Path]) -> "Callable[[Split], Dataset]":
    return lambda split: _read(paths[split])


def _printer(paths: dict[Split, Path]) -> Callable[[Split], str]:
    return lambda split: hashlib.sha256(paths[split].read_bytes()).hexdigest()


def _read(path: Path) -> "Dataset":
    from datasets import Dataset
    from datasets.table import InMemoryTable

    try:
        return Dataset(InMemoryTable(pq.read_table(path)))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: damaged: {str(error).splitlines()[0]}") from None


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
    features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    names = features.get("label", {}).get("names")
    if not names:
        raise DataError(f"{path}: the column 'label' has no class names (wanted a ClassLabel feature in the schema)")
    return tuple(names)
