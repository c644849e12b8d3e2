"""Counts over paired samples: tables by task, class and confidence, changes of scores, the worst flips."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import duckdb
import numpy as np

from clbench.reports.flips.contingency import ContingencyTable
from clbench.reports.flips.graded import GROUPS_PER_DOUBLING, MAX_UNGROUPED, ChangeHistogram, GradedFlips, GradedSums

COUNTS = ", ".join(f"count(*) FILTER (cell = {cell})" for cell in range(5))
BY_TASK = f"""
SELECT task, {COUNTS},
    count(*) FILTER (NOT in_new), count(*) FILTER (NOT in_old),
    count(*) FILTER (in_old AND in_new AND cell IS NULL AND change IS NULL),
    count(*) FILTER (cell IS NULL AND old_right),
    fsum(new_confidence) FILTER (cell = 1), count(new_confidence) FILTER (cell = 1),
    fsum(old_confidence) FILTER (cell = 2), count(old_confidence) FILTER (cell = 2)
FROM pairs GROUP BY task ORDER BY task
"""  # noqa: S608 (only constants of ours are put into these queries)
BY_CLASS = f"""
WITH most AS (
    SELECT task, class, {COUNTS} FROM pairs WHERE cell IS NOT NULL AND class IS NOT NULL
    GROUP BY task, class ORDER BY count(*) FILTER (cell = 1) DESC, task, class LIMIT $most
), names AS (
    SELECT hash(target) AS class, min(target) AS name FROM old_rows
    WHERE hash(target) IN (SELECT class FROM most) GROUP BY ALL
)
SELECT name, most.* FROM most JOIN names USING (class)
"""  # noqa: S608
BY_CONFIDENCE = f"""
SELECT least(floor({{model}}_confidence * 10), 9)::INTEGER AS tenth, {COUNTS} FROM pairs
WHERE cell IS NOT NULL AND {{model}}_confidence BETWEEN 0 AND 1 GROUP BY tenth ORDER BY tenth
"""  # noqa: S608
CHANGES = """
SELECT favg(change) AS mean, count(*) FROM pairs WHERE change IS NOT NULL AND task IN (SELECT unnest($tasks))
GROUP BY {groups} ORDER BY mean
"""
SIZE = f"CASE WHEN change <> 0 THEN floor(log2(abs(change)) * {GROUPS_PER_DOUBLING}) END"
GROUPS = f"sign(change), abs(change) > $band, {SIZE}"
GRADED_TASKS = """
SELECT task, count(*), count(*) FILTER (change < -$band), count(*) FILTER (change > $band),
    coalesce(fsum(-change) FILTER (change < -$band), 0), coalesce(fsum(change) FILTER (change > $band), 0), fsum(change)
FROM pairs WHERE change IS NOT NULL GROUP BY task HAVING count(*) FILTER (score_is_graded) > 0 ORDER BY task
"""
WORST = """
WITH worst AS (
    SELECT task, sample_id, new_confidence, old_confidence, change FROM pairs WHERE {which} ORDER BY {order} LIMIT $most
)
SELECT w.task, w.sample_id, o.target, o.prediction, n.prediction, o.confidence, n.confidence, o.score, n.score,
    coalesce(o.text, n.text)
FROM worst w JOIN old_rows o USING (task, sample_id) JOIN new_rows n USING (task, sample_id) ORDER BY {ordered}
"""
FLIPPED = ("cell = 1", "{w}new_confidence DESC NULLS LAST, {w}old_confidence DESC NULLS LAST, {w}task, {w}sample_id")
LOST = ("change < -$band", "{w}change, {w}task, {w}sample_id")


@final
@dataclass(frozen=True)
class FlipCounts:
    """Counts of one task or of several.

    Args:
        table: Pairs for which both models have a right or wrong answer.
        old_only: Number of samples that only the old model was tested on.
        new_only: Number of samples that only the new model was tested on.
        unscored: Number of pairs without a common measure: not `correct` for both models, nor `score` for both.
        old_right_new_unknown: Number of samples that the old model has right and for which the new model has no right
            or wrong answer.
        nfr_confidence_sum: Sum of the new model's confidence over negative flips; None if one of them has none.
        pfr_confidence_sum: Sum of the old model's confidence over positive flips; None if one of them has none.
    """

    table: ContingencyTable
    old_only: int
    new_only: int
    unscored: int
    old_right_new_unknown: int
    nfr_confidence_sum: float | None
    pfr_confidence_sum: float | None

    def __add__(self, other: "FlipCounts") -> "FlipCounts":
        """The counts of two disjoint sets of samples together."""
        return FlipCounts(
            self.table + other.table,
            self.old_only + other.old_only,
            self.new_only + other.new_only,
            self.unscored + other.unscored,
            self.old_right_new_unknown + other.old_right_new_unknown,
            _sum(self.nfr_confidence_sum, other.nfr_confidence_sum),
            _sum(self.pfr_confidence_sum, other.pfr_confidence_sum),
        )


@final
@dataclass(frozen=True)
class Flip:
    """One answer that got worse; None for what the ledgers do not have."""

    task: str
    sample_id: str
    target: str | None
    old_prediction: str | None
    new_prediction: str | None
    old_confidence: float | None
    new_confidence: float | None
    old_score: float | None
    new_score: float | None
    text: str | None


def count_tasks(connection: duckdb.DuckDBPyConnection) -> dict[str, FlipCounts]:
    """The counts of each task, by its name."""
    found = {}
    for task, *counts, lost, lost_known, won, won_known in connection.sql(BY_TASK).fetchall():
        table = ContingencyTable(*counts[:5])
        nfr_confidence_sum = (lost or 0.0) if lost_known == table.negative_flips else None
        pfr_confidence_sum = (won or 0.0) if won_known == table.positive_flips else None
        old_only, new_only, unscored, old_right_new_unknown = counts[5:]
        found[str(task)] = FlipCounts(
            table, old_only, new_only, unscored, old_right_new_unknown, nfr_confidence_sum, pfr_confidence_sum
        )
    return found


def count_classes(connection: duckdb.DuckDBPyConnection, most: int) -> list[tuple[str, str, ContingencyTable]]:
    """Task, class (the target) and table of the classes with the most negative flips, at most `most`."""
    rows = connection.execute(BY_CLASS, {"most": most}).fetchall()
    found = [(task, name, ContingencyTable(*counts)) for name, task, _, *counts in rows]
    return sorted(found, key=lambda item: (-item[2].negative_flips, item[:2]))


def count_confidence(connection: duckdb.DuckDBPyConnection, model: str) -> dict[int, ContingencyTable]:
    """The tables by confidence of the `old` or `new` model, in ten bins: bin 0 from 0 to 0.1, bin 9 from 0.9 to 1."""
    return {
        tenth: ContingencyTable(*counts)
        for tenth, *counts in connection.sql(BY_CONFIDENCE.format(model=model)).fetchall()
    }


def count_graded_tasks(connection: duckdb.DuckDBPyConnection, dead_band: float) -> dict[str, GradedFlips]:
    """Gains and losses by task, without tasks whose scores are `correct` as 0 and 1."""
    rows = connection.execute(GRADED_TASKS, {"band": dead_band}).fetchall()
    return {str(task): GradedSums(*numbers).flips(dead_band) for task, *numbers in rows}


def count_changes(
    connection: duckdb.DuckDBPyConnection, tasks: Sequence[str], n: int, dead_band: float
) -> ChangeHistogram:
    """Histogram of the changes of graded scores over some tasks.

    Args:
        connection: Database with the table `pairs`.
        tasks: Names of the tasks.
        n: Number of pairs; above `MAX_UNGROUPED`, changes within 1.1 % share a group.
        dead_band: Largest absolute change that counts as no change; no group lies on both sides of it.
    """
    values: dict[str, object] = {"tasks": list(tasks)}
    groups = "change"
    if n > MAX_UNGROUPED:
        values["band"], groups = dead_band, GROUPS
    rows = connection.execute(CHANGES.format(groups=groups), values).fetchall()
    means, counts = np.array(rows, dtype=np.float64).reshape(-1, 2).T
    return ChangeHistogram(means, counts.astype(np.int64))


def worst_flips(connection: duckdb.DuckDBPyConnection, most: int) -> list[Flip]:
    """The negative flips in falling order of the new model's confidence, then of the old model's; at most `most`."""
    return _worst(connection, FLIPPED, {"most": most})


def worst_losses(connection: duckdb.DuckDBPyConnection, most: int, dead_band: float) -> list[Flip]:
    """The largest losses of graded scores.

    Args:
        connection: Database with the table `pairs`.
        most: Largest number of losses to return.
        dead_band: Largest absolute change that counts as no change.
    """
    return _worst(connection, LOST, {"most": most, "band": dead_band})


def _worst(connection: duckdb.DuckDBPyConnection, kind: tuple[str, str], values: dict[str, object]) -> list[Flip]:
    which, order = kind
    query = WORST.format(which=which, order=order.format(w=""), ordered=order.format(w="w."))
    return [Flip(*row) for row in connection.execute(query, values).fetchall()]


def _sum(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first + second
