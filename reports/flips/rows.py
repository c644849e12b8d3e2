"""The rows of one side of a comparison: one version under one protocol of a ledger, on disk or in memory."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from clbench.core.errors import DataError, did_you_mean
from clbench.spec.ledger import SCHEMA, check_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

TEXT = "text"
"""A column that a ledger may have besides its own: what the model was asked."""
SQL_TYPES = {"int32": "INTEGER", "string": "VARCHAR", "bool": "BOOLEAN", "double": "DOUBLE", "float": "FLOAT"}
COLUMNS = ("task", "sample_id", "prediction", "target", "correct", "score", "confidence")
JSON_TYPES = {name: SQL_TYPES[str(SCHEMA.field(name).type)] for name in ("version", "protocol", *COLUMNS)} | {
    TEXT: "VARCHAR"
}


@final
@dataclass(frozen=True)
class Origin:
    """Where the samples are from: a part of a stream's tasks."""

    stream: str
    split: str


@final
@dataclass(frozen=True)
class Rows:
    """Where the rows are, and which of them count.

    Args:
        name: What messages, tables and pages call this side.
        source: A ledger in Parquet, one in lines of JSON (`.jsonl`) or one in memory; it may have a column `text`.
        version: The version to compare; None for the last one.
        protocol: The protocol to compare; None for the first one.
        graded: Whether to leave `correct` out of account, for scores that happen to be 0 or 1 in some rows.
        origin: Where the samples are from, where that is known.
        metric: What the scores are, where that is known.
    """

    name: str
    source: "Path | pa.Table"
    version: int | None = None
    protocol: str | None = None
    graded: bool = False
    origin: Origin | None = None
    metric: str | None = None


def open_rows(connection: duckdb.DuckDBPyConnection, rows: Rows, view: str, folder: Path) -> str:
    """Make the chosen rows known as a view with the columns of `COLUMNS` and `text`.

    Args:
        connection: Where to.
        rows: What to.
        view: Name of the view.
        folder: A temporary folder of the connection.

    Returns:
        The protocol that was chosen.

    Raises:
        DataError: When the ledger is damaged or empty, or has no such version or protocol.
    """
    relation = _relation(connection, rows, folder / f"{view}.parquet")
    version = _chosen_version(relation, rows)
    chosen = relation.filter(_equals("version", version))
    protocol = _chosen_protocol(chosen, rows, version)
    columns = [f"{'NULL::BOOLEAN AS ' * (rows.graded and name == 'correct')}{name}" for name in COLUMNS]
    columns.append(TEXT if TEXT in relation.columns else f"NULL::VARCHAR AS {TEXT}")
    chosen.filter(_equals("protocol", protocol)).project(", ".join(columns)).create_view(view)
    return protocol


def _relation(connection: duckdb.DuckDBPyConnection, rows: Rows, link: Path) -> duckdb.DuckDBPyRelation:
    if not isinstance(rows.source, Path):
        return connection.from_arrow(rows.source)
    if rows.source.suffix == ".jsonl":
        return connection.read_json(str(rows.source), columns=JSON_TYPES, format="newline_delimited")
    _check_file(rows.source)
    link.symlink_to(rows.source.resolve())  # DuckDB would take `*` and `[` in a name for a pattern
    return connection.read_parquet(str(link))


def _check_file(path: Path) -> None:
    """Refuse what is no ledger. `read_ledger` would say the same, but loads pandas, which takes a second."""
    try:
        schema = pq.read_schema(path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such ledger") from None
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: damaged or not Parquet: {str(error).splitlines()[0]}") from None
    check_columns(schema, path)


def _chosen_version(relation: duckdb.DuckDBPyRelation, rows: Rows) -> int:
    versions = sorted(row[0] for row in relation.project("version").distinct().fetchall())
    if not versions:
        raise DataError(f"{rows.name}: the ledger has no rows")
    if rows.version is not None and rows.version not in versions:
        raise DataError(f"{rows.name}: no version {rows.version}: the ledger has {_listed(versions)}")
    return int(versions[-1] if rows.version is None else rows.version)


def _chosen_protocol(chosen: duckdb.DuckDBPyRelation, rows: Rows, version: int) -> str:
    found = [row[0] for row in chosen.project("protocol").distinct().order("protocol").fetchall()]
    if rows.protocol is None:
        first = chosen.project("protocol").limit(1).fetchall()
        return str(first[0][0])
    if rows.protocol not in found:
        hint = did_you_mean(rows.protocol, found)
        raise DataError(f"{rows.name}, version {version}: no protocol {rows.protocol!r}: {hint}")
    return rows.protocol


def _equals(column: str, value: object) -> duckdb.Expression:
    return duckdb.ColumnExpression(column) == duckdb.ConstantExpression(value)


def _listed(versions: "Sequence[int]") -> str:
    return ", ".join(map(str, versions[:10])) + (f" and {len(versions) - 10} more" if len(versions) > 10 else "")
