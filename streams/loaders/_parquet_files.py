"""Tasks in Parquet files, `<task>/{train,validation,test}.parquet`: what their loaders share."""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clbench.core.errors import DataError
from clbench.core.storage import file_digest
from clbench.core.strict_json import parse_json
from clbench.spec.task import SPLITS, Split
from clbench.streams.card import DataChoice, StreamCard


def folder_of(card: StreamCard, choice: DataChoice) -> Path:
    """The folder with a folder for each task.

    Raises:
        DataError: When the card has none and the user named none.
    """
    if choice.folder is None:
        raise DataError(f"stream {card.name!r} has no data of its own: it needs --root DIR with a folder for each task")
    return choice.folder


@final
class ParquetParts:
    """The three files of a task, in the form that Hugging Face `datasets` writes.

    Args:
        folder: Folder of the task.
        columns: Columns that each file must have, `sample_id` among them. A column `label` must be a `ClassLabel`.
    """

    def __init__(self, folder: Path, columns: tuple[str, ...]) -> None:
        self._paths: dict[Split, Path] = {split: folder / f"{split}.parquet" for split in SPLITS}
        self.folder = folder
        self._columns = columns

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes by label, equal in all parts; `()` for files without `label`.

        Only the schemas are read. So this is also the cheap check that all three files are there.

        Raises:
            DataError: When a file is missing, damaged or lacks a column.
        """
        names = [_class_names(path, self._columns) for path in self._paths.values()]
        if any(other != names[0] for other in names):
            raise DataError(f"{self.folder}: the splits do not have the same class names")
        return names[0]

    def path(self, split: Split) -> Path:
        """The file of a part."""
        return self._paths[split]

    def read(self, split: Split, schema: pa.Schema) -> pa.Table:
        """The columns of a schema, `sample_id` among them, with the rows of a part, checked.

        Raises:
            DataError: When the file is damaged, or its rows are not what they should be.
        """
        path = self._paths[split]
        try:
            table = pq.read_table(path, columns=schema.names, page_checksum_verification=True)
            table = table.select(schema.names).cast(schema)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise DataError(f"{path}: damaged: {str(error).splitlines()[0]}") from None
        _check(path, table, len(self.classes))
        return table

    def fingerprint(self, split: Split) -> str:
        """A hash of a part's file and the classes."""
        return hashlib.sha256(f"{file_digest(self._paths[split])} {self.classes!r}".encode()).hexdigest()


def _check(path: Path, table: pa.Table, classes: int) -> None:
    """Refuse what would fail much later: no rows, an empty cell, a repeated sample id, a label without a class."""
    if not len(table):
        raise DataError(f"{path}: wanted at least one row, got none")
    for name in table.column_names:
        column = table[name]
        if column.null_count:
            row = column.is_null().index(True).as_py()
            raise DataError(f"{path}: {column.null_count} of {len(column)} rows have no {name}, the first is row {row}")
    counts = pc.value_counts(table["sample_id"]).to_pylist()
    twice = next((item["values"] for item in counts if item["counts"] > 1), None)
    if twice is not None:
        raise DataError(f"{path}: the sample id {twice!r} is there more than once")
    if "label" not in table.column_names:
        return
    ends = pc.min_max(table["label"]).as_py()
    if ends["min"] < 0 or ends["max"] >= classes:
        raise DataError(f"{path}: labels must be 0 to {classes - 1}, got {ends['min']} to {ends['max']}")


def _class_names(path: Path, columns: tuple[str, ...]) -> tuple[str, ...]:
    """The class names in a file's schema, which must have all columns; `()` where there is no `label`."""
    try:
        schema = pq.read_schema(path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: damaged or not Parquet: {str(error).splitlines()[0]}") from None
    missing = [name for name in columns if name not in schema.names]
    if missing:
        raise DataError(f"{path}: column {missing[0]!r} is missing (wanted {', '.join(columns)})")
    if "label" not in columns:
        return ()
    if not pa.types.is_integer(schema.field("label").type):
        raise DataError(f"{path}: column 'label' must hold integers, got {schema.field('label').type}")
    metadata: Mapping[bytes, bytes] = schema.metadata or {}
    return _names_in(metadata.get(b"huggingface", b"{}"), path)


def _names_in(metadata: bytes, path: Path) -> tuple[str, ...]:
    """The class names in the metadata that `datasets` writes."""
    wanted = f"{path}: the column 'label' has no class names (wanted a ClassLabel feature in the schema"
    try:
        values: Any = parse_json(metadata)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{wanted}, got metadata that are no JSON: {error})") from None
    match values:
        case {"info": {"features": {"label": {"names": [*names]}}}} if names:
            if all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
                return tuple(names)
            raise DataError(f"{wanted} with a different text for each class)")
    raise DataError(f"{wanted})")
