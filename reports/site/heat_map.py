"""The accuracy matrix R as a table with shaded cells."""

import math

from clbench.reports.headings import NO_NUMBER, percent
from clbench.reports.matrix import ScoreMatrix
from clbench.reports.matrix_labels import CellState, row_states, version_label
from clbench.reports.site.site_table import Cell, Column, Table

SHADES = 20
CROSS = "\N{MULTIPLICATION SIGN}"


def matrix_table(matrix: ScoreMatrix, name: str, title: str) -> Table:
    """R in percent: a row for each version that was tested on some task, a column for each task.

    Args:
        matrix: R, fractions.
        name: Name of the table.
        title: Its title.
    """
    columns = [Column("version", "version", is_text=True), *(Column(task, task) for task in matrix.tasks)]
    rows = []
    for version, scores in enumerate(matrix.scores.tolist()):
        cells = list(map(_cell, row_states(matrix, version), scores))
        if any(cell.state != "missing" for cell in cells):
            rows.append([Cell(version_label(matrix, version)), *cells])
    return Table(name, title, columns, rows, is_map=True)


def _cell(state: CellState, score: float) -> Cell:
    if state == "forgotten":
        return Cell(CROSS, state=state, tip="forgotten on request")
    if math.isnan(score):
        return Cell(NO_NUMBER, state="missing")
    return Cell(percent(score), score, shade=round(SHADES * min(max(score, 0.0), 1.0)), state=state)
