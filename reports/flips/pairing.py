"""Two sides joined sample by sample, in bounded memory; nothing that does not match is dropped in silence.

DuckDB joins out of core under a memory limit. A join with pyarrow alone holds both ledgers: 4.4 GB against 1.4 GB, and
twice the time, for two ledgers of 10 million rows.
"""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb

from clbench.core.errors import DataError
from clbench.reports.flips.rows import Rows, open_rows

MEMORY = "1200MB"
"""What DuckDB may hold before it writes to a temporary folder; the process takes about 250 MB more."""
LONGEST_CLASS = 64
"""A longer target is an answer in words, not the name of a class."""

CHECK = """
SELECT count(*), count(DISTINCT hash(task, sample_id)),
    count(*) FILTER (task IS NULL OR sample_id IS NULL),
    count(*) FILTER (correct IS NOT NULL AND prediction IS NULL),
    count(*) FILTER (NOT isfinite(score))
FROM {side}
"""
DUPLICATE = """
SELECT task, sample_id, count(*) AS times FROM {side} GROUP BY task, sample_id HAVING times > 1
ORDER BY task, sample_id LIMIT 1
"""
TASKS = "SELECT DISTINCT task FROM {side} ORDER BY task"
SIDE = f"""
SELECT task, sample_id, hash(prediction) AS prediction, hash(target) AS target, correct, score, confidence,
    length(target) <= {LONGEST_CLASS} AS short FROM
"""  # noqa: S608 (only a constant of ours is put in)
# `cell` numbers the fields of `ContingencyTable`: 0 both right, 1 negative flip, 2 positive flip, 3 and 4 both wrong.
JOIN = f"""
CREATE TEMP TABLE pairs AS
SELECT coalesce(o.task, n.task) AS task, coalesce(o.sample_id, n.sample_id) AS sample_id,
    o.task IS NOT NULL AS in_old, n.task IS NOT NULL AS in_new,
    (CASE WHEN o.correct AND n.correct THEN 0
        WHEN o.correct AND NOT n.correct THEN 1
        WHEN NOT o.correct AND n.correct THEN 2
        WHEN NOT o.correct AND NOT n.correct THEN CASE WHEN o.prediction = n.prediction THEN 3 ELSE 4 END
        END)::UTINYINT AS cell,
    o.correct AS old_right, o.confidence AS old_confidence, n.confidence AS new_confidence,
    ($sign * (n.score - o.score))::DOUBLE AS change,
    o.score IS DISTINCT FROM o.correct::DOUBLE OR n.score IS DISTINCT FROM n.correct::DOUBLE AS says_more,
    CASE WHEN o.short THEN o.target END AS class,
    coalesce(o.target <> n.target, false) AS other_target
FROM ({SIDE} old_rows) o FULL OUTER JOIN ({SIDE} new_rows) n ON o.task = n.task AND o.sample_id = n.sample_id
"""  # noqa: S608 (only constants of ours are put in)
"""Predictions and targets are compared by 64-bit hashes: long texts cost nothing, and of 10 million pairs of different
ones a single pair is taken for equal with a chance of one in 10^12. Tasks and samples are compared as they are."""
TARGETS = """
SELECT count(*) FILTER (other_target), min((task, sample_id)) FILTER (other_target), count(*) FILTER (in_old AND in_new)
FROM pairs
"""


@contextlib.contextmanager
def database(*sides: Rows) -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
    """A database that lives as long as a comparison, and its temporary folder.

    Args:
        sides: What is compared, for messages.

    Raises:
        DataError: For what DuckDB raises: a damaged file, a full disk.
    """
    with tempfile.TemporaryDirectory(prefix="clbench-compare-") as folder:
        spill = f"{folder}/spill"
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": MEMORY,
            "temp_directory": spill,
            "autoinstall_known_extensions": False,
        }
        with duckdb.connect(":memory:", config=settings) as connection:
            try:
                yield connection, Path(folder)
            except duckdb.Error as error:
                reason = str(error).splitlines()[0].replace(f"{folder}/", "")
                raise DataError(f"{' and '.join(side.name for side in sides)} cannot be compared: {reason}") from error


def pair(connection: duckdb.DuckDBPyConnection, folder: Path, old: Rows, new: Rows, sign: int = 1) -> str:
    """Join two sides into the table `pairs`, one row a sample of either side.

    Args:
        connection: Of `database`.
        folder: Of `database`.
        old: The old side.
        new: The new side.
        sign: -1 where lower scores are better.

    Returns:
        The protocol that both are compared under.

    Raises:
        DataError: For sides that cannot be paired: duplicate samples, another metric, no common task or sample, other
            targets, right and wrong answers without a prediction.
    """
    if old.metric and new.metric and old.metric != new.metric:
        found = f"{old.name} has {old.metric!r} first, {new.name} has {new.metric!r}"
        raise DataError(f"no metric in common: {found}: choose one with --metric")
    protocol = checked_rows(connection, folder, old, "old_rows", None)
    other = checked_rows(connection, folder, new, "new_rows", protocol)
    _check_tasks(connection, old, new)
    connection.execute("SET preserve_insertion_order = false")  # the table has no order of its own, which saves memory
    connection.execute(JOIN, {"sign": sign})
    _check_pairs(connection, old, new)
    return protocol if other == protocol else f"{protocol} and {other}"


def checked_rows(
    connection: duckdb.DuckDBPyConnection, folder: Path, rows: Rows, view: str, protocol: str | None
) -> str:
    """Make rows known as a view, every sample once.

    Args:
        connection: Of `database`.
        folder: Of `database`.
        rows: The rows.
        view: Name of the view.
        protocol: To take where the rows name none.

    Returns:
        The protocol that was taken.

    Raises:
        DataError: For duplicate samples, right and wrong answers without a prediction, scores that are not finite.
    """
    chosen = open_rows(connection, replace(rows, protocol=rows.protocol or protocol), view, folder)
    _check(connection, rows.name, view)
    return chosen


def _check(connection: duckdb.DuckDBPyConnection, name: str, side: str) -> None:
    n, distinct, nameless, wordless, endless = connection.sql(CHECK.format(side=side)).fetchall()[0]
    if nameless:
        raise DataError(f"{name}: {nameless} rows have no task or no sample_id")
    if distinct < n:  # hashes: fewer than rows may be a collision of two, equal numbers are proof
        duplicate = connection.sql(DUPLICATE.format(side=side)).fetchall()
        if duplicate:
            task, sample, times = duplicate[0]
            raise DataError(f"{name}: task {task!r}: sample {sample!r} is there {times} times")
    if wordless:
        raise DataError(f"{name}: {wordless} of {n} answers are marked right or wrong but have no prediction")
    if endless:
        raise DataError(f"{name}: {endless} of {n} scores are not finite")


def _check_tasks(connection: duckdb.DuckDBPyConnection, old: Rows, new: Rows) -> None:
    tasks = [[row[0] for row in connection.sql(TASKS.format(side=s)).fetchall()] for s in ("old_rows", "new_rows")]
    if not set(tasks[0]) & set(tasks[1]):
        first, second = (", ".join(map(repr, found[:3])) + ", ..." * (len(found) > 3) for found in tasks)
        raise DataError(f"no task in common: {old.name} has {first}; {new.name} has {second}")


def _check_pairs(connection: duckdb.DuckDBPyConnection, old: Rows, new: Rows) -> None:
    others, first, paired = connection.sql(TARGETS).fetchall()[0]
    if not paired:
        raise DataError(f"{old.name} and {new.name}: no sample in common")
    if others:
        task, sample = first
        example = f"sample {sample!r} of task {task!r} for one"
        raise DataError(f"{old.name} and {new.name}: {others} samples have another target, {example}")
