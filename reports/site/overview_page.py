"""The first page: streams and strategies, one table for each of the main numbers; and the page of the metrics."""

from collections.abc import Sequence

from clbench.reports.headings import CALIBRATION, STREAM_FLIPS
from clbench.reports.leaderboard.aggregate import ORDERED_BY, Section
from clbench.reports.leaderboard.board import Board
from clbench.reports.site.over_streams import over_streams
from clbench.reports.site.page_frame import render
from clbench.reports.site.section_tables import NOTE, lacking_text, number_cell, number_column, ranking
from clbench.reports.site.site_table import EMPTY, Cell, Column, Table
from clbench.reports.site.stream_page import Page, section_address, section_title

CHOSEN = (ORDERED_BY, "forgetting.chaudhry", *STREAM_FLIPS, "mtil.average", CALIBRATION)
"""Numbers that can be chosen, the first one at the start."""
NO_BEST = "none is better than all others"


def overview_page(board: Board, problems: Sequence[str]) -> Page:
    """The page with all streams.

    Args:
        board: Its content.
        problems: What could not be read, one line each.
    """
    streams = _stream_table(board.test_sections, "streams", "Streams")
    tuning = _stream_table(board.tuning_sections, "tuning", "Tuning")
    by_number = {name: _number_table(board.test_sections, name) for name in CHOSEN}
    chosen = {name: table for name, table in by_number.items() if table.rows}
    together = over_streams(board.test_sections)
    tables = [*chosen.values(), *(table for table in (streams, tuning) if table.rows)]
    tables += [together[0]] if together else []
    cells = [cell for section in board.sections for s in section.standings for cell in s.finished]
    title = f"Leaderboard: {board.experiment}"
    html = render(
        "overview.html.j2",
        board=board,
        title=title,
        note=NOTE,
        chosen=chosen,
        streams=streams,
        tuning=tuning,
        together=together,
        tables=tables,
        problems=problems,
        finished=len(cells),
        lacking=lacking_text([s for section in board.sections for s in section.standings]),
        strategies=len({s.label for section in board.test_sections for s in section.standings}),
    )
    return Page("index", title, html, tables)


def metrics_page(board: Board) -> Page:
    """The page that says what each metric means."""
    html = render("metrics.html.j2", board=board)
    return Page("metrics", "What the metrics mean", html, [])


def _number_table(sections: Sequence[Section], name: str) -> Table:
    """A row for each strategy, a column for each stream: one number under the stream's first protocol."""
    column = number_column(name)
    by_label: dict[str, dict[int, Cell]] = {}
    used: list[int] = []
    for index, section in enumerate(sections):
        found = _cells(section, name)
        used += [index] if found else []
        for label, cell in found.items():
            by_label.setdefault(label, {})[index] = cell
    shown = [Column("strategy", "Strategy", is_text=True)]
    for index in used:
        section = sections[index]
        parts = [section.stream, *_telling(section, sections), section.protocols[0]]
        key = " ".join(filter(None, (section.stream, section.learner, section.budget, section.protocols[0])))
        shown.append(Column(key, ", ".join(parts), column.direction))
    rows = [[Cell(label), *(of.get(index, EMPTY) for index in used)] for label, of in by_label.items()]
    return Table(f"overview-{CHOSEN.index(name)}", column.heading, shown, rows, column.tip, wide=True)


def _cells(section: Section, name: str) -> dict[str, Cell]:
    """The cell of each strategy that has the number, by its label."""
    if not section.protocols:
        return {}
    protocol = section.protocols[0]
    order = ranking(section, protocol, name)
    cells: dict[str, Cell] = {}
    for standing in section.standings:
        found = standing.results[protocol].metrics.get(name) if protocol in standing.results else None
        if found is None:
            continue
        seeds = len(standing.finished)
        cell = number_cell(name, found, seeds, order is not None and order.best == standing.label)
        interval = order.intervals[standing.label] if order and found.n > 1 else None
        cells[standing.label] = Cell(
            cell.text, cell.value, cell.spread, cell.half_width, cell.n, interval, cell.mark, tip=cell.tip
        )
    return cells


def _telling(section: Section, sections: Sequence[Section]) -> list[str]:
    """Learner and budget, where sections of the same stream differ in them."""
    same = [other for other in sections if other.stream == section.stream]
    found = [section.learner] if len({other.learner for other in same}) > 1 else []
    return found + ([section.budget] if len({other.budget for other in same}) > 1 else [])


def _stream_table(sections: Sequence[Section], name: str, title: str) -> Table:
    """A row for each stream, with its strategies, seeds, failures, and its best strategy where one is shown."""
    columns = [
        Column("stream", "Stream", is_text=True),
        Column("learner", "Learner", is_text=True),
        Column("budget", "Budget", is_text=True),
        Column("strategies", "Strategies"),
        Column("seeds", "Seeds"),
        Column("without_result", "Without a result", is_text=True),
        Column("best", "Best by Last", is_text=True, tip="Only where paired tests over seeds show it."),
    ]
    rows = []
    for section in sections:
        lacking = lacking_text(section.standings)
        seeds = max((len(s.finished) for s in section.standings), default=0)
        order = ranking(section, section.protocols[0], ORDERED_BY) if section.protocols else None
        stream = section.stream if section.is_test else f"{section.stream} ({section.split})"
        rows.append(
            [
                Cell(stream, link=f"{section_address(section)}.html", tip=section_title(section)),
                Cell(section.learner),
                Cell(section.budget or EMPTY.text),
                Cell(str(len(section.standings)), len(section.standings)),
                Cell(str(seeds), seeds),
                Cell(lacking, mark="failed") if lacking else EMPTY,
                Cell(order.best if order and order.best else NO_BEST, mark="" if order and order.best else "soft"),
            ]
        )
    return Table(name, title, columns, rows, wide=True)
