"""The page of a stream: strategies, plots, matrices, updates, published numbers, failures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

from clbench.reports.headings import STREAM_FLIPS
from clbench.reports.leaderboard.aggregate import ORDERED_BY, Section
from clbench.reports.leaderboard.published import published_tables
from clbench.reports.leaderboard.tables import TUNING_NOTE
from clbench.reports.site.heat_map import matrix_table
from clbench.reports.site.page_frame import address, render
from clbench.reports.site.rank_plot import difference_plot
from clbench.reports.site.section_tables import (
    NOTE,
    amount_tables,
    audit_tables,
    difference_table,
    failure_table,
    last_versions,
    number_column,
    other_table,
    published_table,
    strategy_table,
    update_tables,
)
from clbench.reports.site.seed_ranking import half_width
from clbench.reports.site.site_table import Table
from clbench.reports.site.svg_plot import Axis, Point, scatter

MOST_LINES = 30
"""Strategies whose differences are drawn; all are in the table."""
MOST_MAPS = 40
"""Strategies whose mean matrices are on the page; those of the others are on the pages of their cells."""
PLOTTED = {
    "forgetting.chaudhry": "Forgetting, %",
    "flips/first_to_last/nfr": f"{STREAM_FLIPS['flips/first_to_last/nfr'].long}, %",
    "cost/train_seconds": "Training, s",
}
"""What Last is plotted against, with the titles of the axes; lower is better for all."""


@final
@dataclass(frozen=True)
class Page:
    """A page and its tables.

    Attributes:
        name: Path below the folder of the site, without suffix.
        title: Its title.
        html: Its text.
        tables: All of its tables.
    """

    name: str
    title: str
    html: str
    tables: Sequence[Table]


def section_title(section: Section) -> str:
    """Stream, learner and budget, and that it is tuning."""
    where = ", ".join(part for part in (section.stream, section.learner, section.budget) if part)
    return where if section.is_test else f"Tuning ({section.split}): {where}"


def section_address(section: Section) -> str:
    """Name of the page of a stream, below the folder of the site."""
    identity = (section.stream, section.learner, section.budget, section.split)
    return f"streams/{address(f'{section.stream}--{section.learner}', *identity)}"


def stream_page(section: Section, links: Mapping[str, Sequence[tuple[str, str]]]) -> Page:
    """The page of a stream.

    Args:
        section: The stream.
        links: By label of a strategy: seeds and addresses of the pages of its cells, relative to the folder `streams`.
    """
    first = {label: pages[0][1] for label, pages in links.items() if pages}
    protocols: list[dict[str, Any]] = []
    tables: list[Table] = []
    for number, protocol in enumerate(section.protocols, start=1):
        main, others = strategy_table(section, protocol, first, number), other_table(section, protocol, number)
        updates = update_tables(section, protocol, number)
        paired = difference_table(section, protocol, number) if number == 1 else None
        maps, unlike = _maps(section, protocol, number)
        last = last_versions(section, protocol)
        protocols.append(
            {"main": main, "last": last, "others": others, "maps": maps, "unlike": unlike, "updates": updates}
        )
        if paired:
            order = paired[1].order[1 : 1 + MOST_LINES]
            drawn = difference_plot({label: paired[1].differences[label] for label in order})
            protocols[-1] |= {"differences": replace(paired[0], note=""), "caption": paired[0].note, "drawn": drawn}
        tables += [main, *([paired[0]] if paired else []), others, *maps, *updates]
    audits, amounts, failures = audit_tables(section), amount_tables(section), failure_table(section)
    found = published_tables().get(section.stream) if section.is_test else None
    published = published_table(found) if found else None
    tables += [*audits, *amounts, *filter(None, [published, failures])]
    name, title = section_address(section), section_title(section)
    html = render(
        "stream.html.j2",
        section=section,
        title=title,
        page=name.rpartition("/")[2],
        note=NOTE,
        tuning_note=TUNING_NOTE,
        protocols=protocols,
        plots=_plots(section),
        sizes=_sizes(section),
        audits=audits,
        amounts=amounts,
        published=published,
        source=found,
        failures=failures,
        cells=links,
        tables=tables,
        forgotten=any(cell.state == "forgotten" for table in tables for row in table.rows for cell in row),
        seeds=max((len(standing.finished) for standing in section.standings), default=0),
    )
    return Page(name, title, html, tables)


def _maps(section: Section, protocol: str, number: int) -> tuple[list[Table], list[str]]:
    """The mean matrices of strategies, and the labels of those whose tasks differ between seeds."""
    maps, unlike = [], []
    for place, standing in enumerate(section.standings[:MOST_MAPS], start=1):
        result = standing.results.get(protocol)
        if result and result.matrix is None:
            unlike.append(standing.label)
        elif result and result.matrix:
            maps.append(matrix_table(result.matrix, f"R{number}-{place}", standing.label))
    return maps, unlike


def _plots(section: Section) -> list[object]:
    """Last against forgetting, negative flips and time, where at least two strategies have both."""
    if not section.protocols:
        return []
    protocol = section.protocols[0]
    plots: list[object] = []
    for name, title in PLOTTED.items():
        points = []
        for place, standing in enumerate(section.standings, start=1):
            metrics = standing.results[protocol].metrics if protocol in standing.results else {}
            if ORDERED_BY in metrics and name in metrics:
                scale = 1.0 if name.startswith("cost/") else 100.0
                x, y = scale * metrics[name].mean, metrics[ORDERED_BY]
                text = f"{standing.label}: {number_column(ORDERED_BY).heading} {100 * y.mean:.1f} %, {title} {x:.3g}"
                reach = half_width(y)
                half = None if reach is None else 100 * reach
                points.append(Point(x, 100 * y.mean, str(place), text, f"#p1-{place}", half))
        if len(points) > 1:
            plots.append(scatter(points, Axis(title, False), Axis("Last, %", True)))
    return plots


def _sizes(section: Section) -> list[dict[str, object]]:
    """Bytes of compressed versions against their score, one plot for each strategy with at least two of them."""
    if not section.protocols:
        return []
    protocol = section.protocols[0]
    plots: list[dict[str, object]] = []
    for place, standing in enumerate(section.standings, start=1):
        rows = standing.results[protocol].update_rows if protocol in standing.results else ()
        points = [
            Point(
                row.numbers["update/bytes"].mean / 2**20,
                100 * row.numbers["update/score_after"].mean,
                str(row.number),
                f"{row.number} {row.label}: {row.numbers['update/bytes'].mean:,.0f} bytes, "
                f"score {100 * row.numbers['update/score_after'].mean:.1f} %",
                f"#updates1-{place}-{index}",
            )
            for index, row in enumerate(rows, start=1)
            if {"update/bytes", "update/score_after"} <= row.numbers.keys()
        ]
        if len(points) > 1:
            drawn = scatter(points, Axis("Size, MiB", False), Axis("Score after the update, %", True))
            plots.append({"title": standing.label, "plot": drawn})
    return plots
