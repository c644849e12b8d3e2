"""Runs that clbench 0.1 has logged: the result from `matrix.json` and the metrics of the run."""

from collections.abc import Mapping

from clbench.core.errors import DataError
from clbench.reports.compute_result import result_of_matrices
from clbench.reports.headings import CHALLENGE, COSTS
from clbench.reports.leaderboard.logged_cell import SCHEMA_OF_0_1
from clbench.reports.matrix import ScoreMatrix
from clbench.reports.paths import adopt_chain
from clbench.reports.result import CellResult, ChallengeReport, Values
from clbench.spec.update import Update

CHALLENGE_OF_0_1 = "official/"
"""What the names of challenge metrics began with in 0.1."""


def result_of_0_1(matrix_json: Mapping[str, object], metrics: Mapping[str, float]) -> CellResult:
    """The result of a run, its metrics computed by the present code.

    Args:
        matrix_json: Content of the artifact `matrix.json`.
        metrics: The newest value of each metric of the run.

    Raises:
        DataError: When the matrices do not fit.
    """
    kinds: dict[str, Values] = {}
    for name in CHALLENGE:
        old = CHALLENGE_OF_0_1 + name.removeprefix("challenge/")
        value = metrics.get(name, metrics.get(old))
        if value is not None:
            _, kind, metric = name.split("/")
            kinds.setdefault(kind, {})[metric] = value
    costs = {name: metrics[name] for name in COSTS if name in metrics}
    return result_of_matrices(read_matrices(matrix_json), ChallengeReport(kinds=kinds), costs)


def read_matrices(text: Mapping[str, object]) -> dict[str, ScoreMatrix]:
    """The accuracy matrices of `matrix.json`, by protocol in the order of the file.

    Raises:
        DataError: For another schema or a layout that does not fit.
    """
    schema, tasks, protocols = text.get("schema"), text.get("tasks"), text.get("protocols")
    releases = text.get("releases", [])
    if str(schema) != SCHEMA_OF_0_1:
        raise DataError(f"matrix.json: wanted schema {SCHEMA_OF_0_1}, got {schema!r}")
    if not isinstance(tasks, list) or not all(isinstance(task, str) for task in tasks):
        raise DataError(f"matrix.json: tasks must be a list of names, got {tasks!r:.60}")
    if not isinstance(releases, list) or not all(isinstance(release, str) and release for release in releases):
        raise DataError(f"matrix.json: releases must be a list of names, got {releases!r:.60}")
    if not isinstance(protocols, dict) or not protocols:
        raise DataError(f"matrix.json: protocols must be an object with at least one matrix, got {protocols!r:.60}")
    updates = adopt_chain(releases)
    return {str(name): _matrix(str(name), tasks, updates, rows) for name, rows in protocols.items()}


def _matrix(protocol: str, tasks: list[str], updates: tuple[Update, ...], rows: object) -> ScoreMatrix:
    wanted = (len(updates) or len(tasks)) + 1
    if not isinstance(rows, list) or len(rows) != wanted or not all(isinstance(row, list) for row in rows):
        raise DataError(f"matrix.json, protocol {protocol!r}: wanted {wanted} rows, got {rows!r:.60}")
    scores = {t: [_score(protocol, cell) for cell in row] for t, row in enumerate(rows)}
    return ScoreMatrix.from_rows(tasks, scores, updates)


def _score(protocol: str, cell: object) -> float:
    if cell is None:
        return float("nan")
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        raise DataError(f"matrix.json, protocol {protocol!r}: wanted numbers and nulls, got {cell!r:.60}")
    return float(cell)
