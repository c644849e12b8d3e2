"""The ledger: one row per (version, protocol, task, test sample), in Parquet.

`benchmarks` writes it and `reports` reads it; its schema is here because neither imports the other.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from clbench.core.errors import DataError
from clbench.core.storage import written_whole

if TYPE_CHECKING:
    from collections.abc import Sequence

SCHEMA = pa.schema(
    [
        pa.field("version", pa.int32(), nullable=False),
        pa.field("protocol", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("prediction", pa.string()),
        pa.field("target", pa.string()),
        pa.field("correct", pa.bool_()),
        pa.field("score", pa.float64()),
        pa.field("confidence", pa.float32()),
        pa.field("measures", pa.map_(pa.string(), pa.float64())),
    ]
)
"""`correct` is for right and wrong answers, `score` (higher is better) for graded ones; a row may have both.
`measures` holds further numbers of the sample by name, each in its own unit; undefined ones are absent, never NaN."""
ADDED = frozenset({"measures"})
"""Columns that ledgers of earlier releases lack; they are read as empty."""


def write_ledger(table: pa.Table, path: Path) -> None:
    """Write a ledger, whole or not at all.

    Raises:
        ClbenchError: When the disk is full or not writable.
    """
    with written_whole(path) as aside:
        pq.write_table(table.cast(SCHEMA), aside, compression="zstd")


def read_ledger(path: Path, columns: "Sequence[str] | None" = None) -> pa.Table:
    """Read a ledger, or some of its columns.

    Raises:
        DataError: When the file is missing, truncated, not Parquet, lacks a column or has one of another type.
    """
    try:
        check_columns(there := pq.read_schema(path), path)
        wanted = list(columns) if columns else SCHEMA.names
        table = pq.read_table(path, columns=[name for name in wanted if name in there.names])
        for at, name in enumerate(wanted):
            if name not in there.names:
                field = SCHEMA.field(name)
                table = table.add_column(at, field, pa.nulls(len(table), field.type))
        for column in table.schema:
            if table[column.name].null_count and not SCHEMA.field(column.name).nullable:
                raise DataError(f"{path}: not a ledger: column {column.name!r} must not have empty cells")
        return table
    except FileNotFoundError:
        raise DataError(f"{path}: no such ledger") from None
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: damaged or not Parquet: {str(error).splitlines()[0]}") from None


def check_columns(schema: pa.Schema, path: Path) -> None:
    """Refuse a table without the columns of a ledger.

    Raises:
        DataError: For a column that is missing, duplicate or of another type.
    """
    for wanted in SCHEMA:
        if wanted.name in ADDED and wanted.name not in schema.names:
            continue
        if schema.get_field_index(wanted.name) < 0:
            raise DataError(f"{path}: not a ledger: column {wanted.name!r} is missing or there twice")
        got = schema.field(wanted.name).type
        if got != wanted.type:
            raise DataError(f"{path}: not a ledger: column {wanted.name!r} must be {wanted.type}, got {got}")


def with_version(table: pa.Table, version: int) -> pa.Table:
    """The same rows under another version's number."""
    field = SCHEMA.field("version")
    return table.set_column(0, field, pa.repeat(pa.scalar(version, field.type), len(table)))


def row_scores(table: pa.Table) -> pa.ChunkedArray:
    """The score of every row, float64: `score` if there is one, else 1 for correct and 0 for wrong."""
    import pyarrow.compute as pc  # takes a tenth of a second, and `clbench compare` does not need it

    return pc.coalesce(table["score"], pc.cast(table["correct"], pa.float64()))


def task_scores(table: pa.Table, protocol: str) -> dict[tuple[int, str], float]:
    """Mean score of each (version, task) under one protocol: the cells of R."""
    import pyarrow.compute as pc

    chosen = table.filter(pc.equal(table["protocol"], protocol))
    with_scores = chosen.select(["version", "task"]).append_column("value", row_scores(chosen))
    means = with_scores.group_by(["version", "task"]).aggregate([("value", "mean")])
    return {(row["version"], row["task"]): row["value_mean"] for row in means.to_pylist()}
