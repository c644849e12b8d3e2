"""The leaderboard as one static page: no scripts, nothing loaded from elsewhere."""

import math
from importlib.resources import files

from clbench import __version__
from clbench.reports.audit_table import AUDIT_FIRST, audit_columns
from clbench.reports.headings import AUDIT, AUDIT_TITLE, UPDATE_COSTS, UPDATE_TITLE, percent
from clbench.reports.leaderboard.aggregate import Section, challenge, costs
from clbench.reports.leaderboard.board import Board
from clbench.reports.leaderboard.columns import Column
from clbench.reports.leaderboard.logged_cell import COST_NOTE
from clbench.reports.leaderboard.published import HEADINGS, WARNING
from clbench.reports.leaderboard.tables import CHALLENGE_TITLE, TUNING_NOTE
from clbench.reports.leaderboard.text import amount, plain, with_error
from clbench.reports.matrix import ScoreMatrix
from clbench.reports.matrix_labels import cell_state, version_label
from clbench.reports.update_table import FIRST_COLUMNS, update_columns


def to_html(board: Board) -> str:
    """The page as HTML. Texts of runs are escaped, and the page's content policy forbids scripts."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(plain=plain, percent=percent)
    template = environment.from_string(files(__package__).joinpath("page.html.j2").read_text(encoding="utf-8"))
    return template.render(
        board=board,
        version=__version__,
        tuning_note=TUNING_NOTE,
        main=[column for column in board.columns if column.is_main],
        others=[column for column in board.columns if not column.is_main],
        published_warning=WARNING,
        published_headings=HEADINGS,
        costs=costs,
        cost_note=COST_NOTE,
        challenge=challenge,
        challenge_title=CHALLENGE_TITLE,
        amount=amount,
        with_error=with_error,
        best=best,
        heat=heat,
        cell_class=cell_class,
        has_row=has_row,
        version_label=version_label,
        audit_title=AUDIT_TITLE,
        audit_headings=AUDIT,
        audit_first=AUDIT_FIRST,
        audit_columns=audit_columns,
        update_title=UPDATE_TITLE,
        update_costs=UPDATE_COSTS,
        update_first=FIRST_COLUMNS,
        update_columns=update_columns,
    )


def best(section: Section, protocol: str, column: Column) -> float | None:
    """The best mean of a column, which the page sets in bold; None without a direction or with one strategy.

    Args:
        section: Section of the table.
        protocol: Protocol of the table.
        column: The metric.
    """
    results = [standing.results[protocol] for standing in section.standings if protocol in standing.results]
    means = [result.metrics[column.name].mean for result in results if column.name in result.metrics]
    if len(means) < 2 or not column.arrow:
        return None
    return max(means) if column.direction == "higher" else min(means)


def heat(score: float) -> str:
    """Strength of a cell's colour in percent, from 0 to 100; a number, so it is safe inside a style."""
    return "0" if math.isnan(score) else f"{100 * min(max(score, 0.0), 1.0):.0f}"


def has_row(matrix: ScoreMatrix, version: int) -> bool:
    """Whether R has a row on the page: a version that was tested on some task, or on which one counts as forgotten."""
    return any(cell_class(matrix, version, task) != "missing" for task in range(1, len(matrix.tasks) + 1))


def cell_class(matrix: ScoreMatrix, version: int, task: int) -> str:
    """CSS class of a cell of R: its state, or `missing` where it was not measured for another reason.

    Args:
        matrix: R.
        version: Row, from 0.
        task: Column, from 1.
    """
    state = cell_state(matrix, version, task)
    return "missing" if math.isnan(matrix.scores[version, task - 1]) and state != "forgotten" else state
