"""The predictions of one model: one version under one protocol of a ledger, on disk or in memory."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from clbench.core.errors import DataError, did_you_mean
from clbench.reports.forgotten import Forgotten
from clbench.spec.ledger import SCHEMA, check_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TEXT = "text"
"""Name of an optional column of a ledger: the text that the model was given."""
SQL_TYPES = {"int32": "INTEGER", "string": "VARCHAR", "bool": "BOOLEAN", "double": "DOUBLE", "float": "FLOAT"}
COLUMNS = ("task", "sample_id", "prediction", "target", "correct", "score", "confidence")
JSON_TYPES = {name: SQL_TYPES[str(SCHEMA.field(name).type)] for name in ("version", "protocol", *COLUMNS)} | {
    TEXT: "VARCHAR"
}


@final
@dataclass(frozen=True)
class Origin:
    """Where samples are from.

    Args:
        stream: Name of the stream.
        split: Part of its tasks, such as `test`.
    """

    stream: str
    split: str


@final
@dataclass(frozen=True)
class Predictions:
    """The predictions of one model: a ledger, and which of its rows to compare.

    Args:
        name: Name of the model in messages, tables and pages.
        source: A ledger in Parquet, in lines of JSON (`.jsonl`) or in memory; it may have a column `text`.
        version: The version to compare; None for the last one.
        protocol: The protocol to compare; None for the first one.
        graded: Whether to ignore `correct`, for graded scores that are 0 or 1 in some rows by chance.
        origin: Where the samples are from; None if not known.
        metric: Name of the metric that the scores are of; None if not known.
        forgotten: What versions were asked to forget, by number; versions that are not there: nothing.
    """

    name: str
    source: "Path | pa.Table"
    version: int | None = None
    protocol: str | None = None
    graded: bool = False
    origin: Origin | None = None
    metric: str | None = None
    forgotten: "Mapping[int, frozenset[Forgotten]]" = field(default_factory=dict)


@final
@dataclass(frozen=True)
class Chosen:
    """Which rows of a ledger a view shows.

    Args:
        protocol: Their protocol.
        forgotten: What their version was asked to forget.
    """

    protocol: str
    forgotten: frozenset[Forgotten]


def create_view(connection: duckdb.DuckDBPyConnection, predictions: Predictions, view: str, folder: Path) -> Chosen:
    """Create a view of the chosen rows, with the columns of `COLUMNS` and `text`.

    Args:
        connection: Database that gets the view.
        predictions: The predictions to show.
        view: Name of the view.
        folder: A temporary folder that lives as long as the database.

    Returns:
        The protocol of the rows, and what their version was asked to forget.

    Raises:
        DataError: If the ledger is damaged or empty, or has no such version or protocol.
    """
    relation = _relation(connection, predictions, folder / f"{view}.parquet")
    version = _chosen_version(relation, predictions)
    chosen = relation.filter(_equals("version", version))
    protocol = _chosen_protocol(chosen, predictions, version)
    columns = [f"{'NULL::BOOLEAN AS ' * (predictions.graded and name == 'correct')}{name}" for name in COLUMNS]
    columns.append(TEXT if TEXT in relation.columns else f"NULL::VARCHAR AS {TEXT}")
    chosen.filter(_equals("protocol", protocol)).project(", ".join(columns)).create_view(view)
    return Chosen(protocol, predictions.forgotten.get(version, frozenset()))


def _relation(connection: duckdb.DuckDBPyConnection, predictions: Predictions, link: Path) -> duckdb.DuckDBPyRelation:
    if not isinstance(predictions.source, Path):
        return connection.from_arrow(predictions.source)
    if predictions.source.suffix == ".jsonl":
        return connection.read_json(str(predictions.source), columns=JSON_TYPES, format="newline_delimited")
    _check_file(predictions.source)
    link.symlink_to(predictions.source.resolve())  # DuckDB reads `*` and `[` in a name as a pattern
    return connection.read_parquet(str(link))


def _check_file(path: Path) -> None:
    """Refuse a file that is no ledger. `read_ledger` checks the same but imports pandas, which takes a second."""
    try:
        schema = pq.read_schema(path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such ledger") from None
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: damaged or not Parquet: {str(error).splitlines()[0]}") from None
    check_columns(schema, path)


def _chosen_version(relation: duckdb.DuckDBPyRelation, predictions: Predictions) -> int:
    versions = sorted(row[0] for row in relation.project("version").distinct().fetchall())
    if not versions:
        raise DataError(f"{predictions.name}: the ledger has no rows")
    if predictions.version is not None and predictions.version not in versions:
        raise DataError(f"{predictions.name}: no version {predictions.version}: the ledger has {_listed(versions)}")
    return int(versions[-1] if predictions.version is None else predictions.version)


def _chosen_protocol(chosen: duckdb.DuckDBPyRelation, predictions: Predictions, version: int) -> str:
    found = [row[0] for row in chosen.project("protocol").distinct().order("protocol").fetchall()]
    if predictions.protocol is None:
        first = chosen.project("protocol").limit(1).fetchall()
        return str(first[0][0])
    if predictions.protocol not in found:
        hint = did_you_mean(predictions.protocol, found)
        raise DataError(f"{predictions.name}, version {version}: no protocol {predictions.protocol!r}: {hint}")
    return predictions.protocol


def _equals(column: str, value: object) -> duckdb.Expression:
    return duckdb.ColumnExpression(column) == duckdb.ConstantExpression(value)


def _listed(versions: "Sequence[int]") -> str:
    return ", ".join(map(str, versions[:10])) + (f" and {len(versions) - 10} more" if len(versions) > 10 else "")
