"""Join of two models' predictions by task and sample, in bounded memory; samples without a counterpart are kept.

DuckDB joins out of core under a memory limit. A join in pyarrow holds both ledgers: for two ledgers of 10 million rows
it takes 4.4 GB instead of 1.4 GB, and twice the time.
"""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

import duckdb

from clbench.core.errors import DataError
from clbench.reports.flips.predictions import Chosen, Predictions, create_view
from clbench.reports.forgotten import largest

MEMORY = "1200MB"
"""Memory that DuckDB may use before it writes to a temporary folder; the process takes about 250 MB more."""
LONGEST_CLASS = 64
"""Characters of the longest target that counts as the name of a class; longer ones are free text."""

CHECK = """
SELECT count(*), count(DISTINCT hash(task, sample_id)),
    count(*) FILTER (task IS NULL OR sample_id IS NULL),
    count(*) FILTER (correct IS NOT NULL AND prediction IS NULL),
    count(*) FILTER (NOT isfinite(score))
FROM {view}
"""
DUPLICATE = """
SELECT task, sample_id, count(*) AS times FROM {view} GROUP BY task, sample_id HAVING times > 1
ORDER BY task, sample_id LIMIT 1
"""
TASKS = "SELECT DISTINCT task FROM {view} ORDER BY task"
HASHED = f"""
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
    o.score IS DISTINCT FROM o.correct::DOUBLE OR n.score IS DISTINCT FROM n.correct::DOUBLE AS score_is_graded,
    CASE WHEN o.short THEN o.target END AS class,
    coalesce(o.target <> n.target, false) AS other_target
FROM ({HASHED} old_rows) o FULL OUTER JOIN ({HASHED} new_rows) n ON o.task = n.task AND o.sample_id = n.sample_id
"""  # noqa: S608 (only constants of ours are put in)
"""Predictions and targets are compared by 64-bit hashes, so that long texts cost no memory. Among 10 million pairs of
different texts, some pair has equal hashes with a probability below 1e-12. Tasks and samples are compared as text."""
FORGOTTEN = "EXISTS (SELECT 1 FROM forgotten f WHERE f.task = r.task AND (f.target IS NULL OR f.target = r.target))"
LEFT_OUT = f"SELECT task, sample_id FROM {{view}}_all r WHERE {FORGOTTEN}"  # noqa: S608
RETAINED = f"CREATE VIEW {{view}} AS SELECT * FROM {{view}}_all r WHERE NOT {FORGOTTEN}"  # noqa: S608
TARGETS = """
SELECT count(*) FILTER (other_target), min((task, sample_id)) FILTER (other_target), count(*) FILTER (in_old AND in_new)
FROM pairs
"""


@contextlib.contextmanager
def database(*inputs: Predictions) -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
    """A database and its temporary folder, for the time of a comparison.

    Args:
        inputs: Predictions that are compared; error messages name them.

    Raises:
        DataError: For errors of DuckDB, such as a damaged file or a full disk.
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
                raise DataError(f"{' and '.join(each.name for each in inputs)} cannot be compared: {reason}") from error


@final
@dataclass(frozen=True)
class Paired:
    """What was paired.

    Args:
        protocol: The protocol of both models, or both protocols.
        forgotten: Number of samples that were left out, because a model was asked to forget their task or class.
    """

    protocol: str
    forgotten: int


def pair(
    connection: duckdb.DuckDBPyConnection, folder: Path, old: Predictions, new: Predictions, sign: int = 1
) -> Paired:
    """Join the predictions of two models into the table `pairs`, with a row for each sample of either.

    Args:
        connection: Connection that `database` gives.
        folder: Folder that `database` gives.
        old: Predictions of the old model.
        new: Predictions of the new model.
        sign: 1 if higher scores are better, -1 if lower ones are.

    Returns:
        The protocol, and how many samples were left out.

    Raises:
        DataError: For predictions that cannot be paired: duplicate samples, different metrics, no common task or
            sample, different targets, right or wrong answers without a prediction, models that were asked to forget
            different things.
    """
    if old.metric and new.metric and old.metric != new.metric:
        found = f"{old.name} has {old.metric!r} first, {new.name} has {new.metric!r}"
        raise DataError(f"no metric in common: {found}: choose one with --metric")
    first = checked_view(connection, folder, old, "old_rows", None)
    second = checked_view(connection, folder, new, "new_rows", first.protocol)
    left_out = leave_out(connection, {"old_rows": (old.name, first), "new_rows": (new.name, second)})
    _check_tasks(connection, old, new)
    connection.execute("SET preserve_insertion_order = false")  # saves memory
    connection.execute(JOIN, {"sign": sign})
    _check_pairs(connection, old, new)
    protocols = dict.fromkeys((first.protocol, second.protocol))
    return Paired(" and ".join(protocols), left_out)


def leave_out(connection: duckdb.DuckDBPyConnection, views: Mapping[str, tuple[str, Chosen]]) -> int:
    """Leave out of all views the samples of what any of their models was asked to forget.

    Args:
        connection: Connection that `database` gives.
        views: By view: name of the predictions, and what `checked_view` gave.

    Returns:
        The number of samples that some view no longer shows.

    Raises:
        DataError: If the models were asked to forget different things, or were tested on nothing else.
    """
    forgotten = largest((name, chosen.forgotten) for name, chosen in views.values())
    if not forgotten:
        return 0
    connection.execute("CREATE TEMP TABLE forgotten (task VARCHAR, target VARCHAR)")
    rows = [(item.task, target) for item in forgotten for target in item.targets]
    connection.executemany("INSERT INTO forgotten VALUES (?, ?)", rows)
    for view in views:
        connection.execute(f"ALTER VIEW {view} RENAME TO {view}_all")
        connection.execute(RETAINED.format(view=view))
        if not connection.sql(f"SELECT 1 FROM {view} LIMIT 1").fetchall():  # noqa: S608 (a name of ours)
            raise DataError(f"{views[view][0]}: all samples are of what a model was asked to forget")
    union = " UNION ".join(LEFT_OUT.format(view=view) for view in views)
    return int(connection.sql(f"SELECT count(*) FROM ({union})").fetchall()[0][0])  # noqa: S608 (names of ours)


def checked_view(
    connection: duckdb.DuckDBPyConnection, folder: Path, predictions: Predictions, view: str, protocol: str | None
) -> Chosen:
    """Create a view of predictions and check that each sample is there once.

    Args:
        connection: Connection that `database` gives.
        folder: Folder that `database` gives.
        predictions: The predictions.
        view: Name of the view.
        protocol: Protocol to compare if the predictions do not name one; None for their first one.

    Returns:
        The protocol of the rows, and what their version was asked to forget.

    Raises:
        DataError: For duplicate samples, right or wrong answers without a prediction, scores that are not finite.
    """
    chosen = create_view(connection, replace(predictions, protocol=predictions.protocol or protocol), view, folder)
    _check(connection, predictions.name, view)
    return chosen


def _check(connection: duckdb.DuckDBPyConnection, name: str, view: str) -> None:
    n, distinct, unnamed, unanswered, not_finite = connection.sql(CHECK.format(view=view)).fetchall()[0]
    if unnamed:
        raise DataError(f"{name}: {unnamed} rows have no task or no sample_id")
    if distinct < n:  # fewer hashes than rows may be a collision of two; equal numbers prove that there is no duplicate
        duplicate = connection.sql(DUPLICATE.format(view=view)).fetchall()
        if duplicate:
            task, sample, times = duplicate[0]
            raise DataError(f"{name}: task {task!r}: sample {sample!r} is there {times} times")
    if unanswered:
        raise DataError(f"{name}: {unanswered} of {n} answers are marked right or wrong but have no prediction")
    if not_finite:
        raise DataError(f"{name}: {not_finite} of {n} scores are not finite")


def _check_tasks(connection: duckdb.DuckDBPyConnection, old: Predictions, new: Predictions) -> None:
    tasks = [
        [row[0] for row in connection.sql(TASKS.format(view=view)).fetchall()] for view in ("old_rows", "new_rows")
    ]
    if not set(tasks[0]) & set(tasks[1]):
        first, second = (", ".join(map(repr, found[:3])) + ", ..." * (len(found) > 3) for found in tasks)
        raise DataError(f"no task in common: {old.name} has {first}; {new.name} has {second}")


def _check_pairs(connection: duckdb.DuckDBPyConnection, old: Predictions, new: Predictions) -> None:
    others, first, paired = connection.sql(TARGETS).fetchall()[0]
    if not paired:
        raise DataError(f"{old.name} and {new.name}: no sample in common")
    if others:
        task, sample = first
        example = f"sample {sample!r} of task {task!r} for one"
        raise DataError(f"{old.name} and {new.name}: {others} samples have different targets, {example}")
