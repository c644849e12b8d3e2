"""Tables as HTML. A page has hundreds of cells, so they are written here, which is faster than a template."""

from markupsafe import Markup, escape

from clbench.reports.leaderboard.text import plain
from clbench.reports.site.site_table import Cell, Column, Table

FILTER_FROM = 4
"""Rows from which on a table has a field to filter them."""


def table_html(table: Table) -> Markup:
    """A table that scrolls within its own frame; rows can be sorted and filtered if the table says so."""
    name = _safe(table.name)
    parts = [f'<p class="note">{_safe(table.note)}</p>'] if table.note else []
    if table.wide and len(table.rows) >= FILTER_FROM:
        parts.append(
            f'<div class="tools js-only"><label for="{name}-filter">Filter rows</label> <input id="{name}-filter" '
            f'type="search" autocomplete="off" spellcheck="false"> <span id="{name}-count" role="status"></span></div>'
        )
    sortable = " data-sortable" if table.wide else ""
    parts.append(f'<div class="scroll" role="region" tabindex="0" aria-label="{_safe(table.title)}">')
    parts.append(f'<table class="t" id="{name}"{sortable}><thead><tr>{_heads(table, table.wide)}</tr></thead><tbody>')
    for number, (first, *others) in enumerate(table.rows, start=1):
        mark = f' class="{_safe(first.mark)}"' if first.mark else ""
        cells = "".join(map(_cell, others, table.columns[1:]))
        parts.append(f'<tr id="{name}-{number}"><th scope="row"{mark}>{_inside(first)}</th>{cells}</tr>')
    parts.append("</tbody></table></div>")
    return Markup("\n".join(parts))  # noqa: S704 (its parts are escaped)


def map_html(table: Table) -> Markup:
    """A heat map as a figure with its title."""
    title = _safe(table.title)
    heads = "".join(f'<th scope="col" title="{h}">{h}</th>' for h in (_safe(c.heading) for c in table.columns))
    rows = []
    for first, *others in table.rows:
        name = _safe(first.text)
        rows.append(f'<tr><th scope="row" title="{name}">{name}</th>{"".join(map(_shaded, others))}</tr>')
    lines = "\n".join(rows)
    return Markup(  # noqa: S704
        f'<figure><figcaption>{title}</figcaption><div class="mapbox" role="region" tabindex="0" aria-label="{title}">'
        f'<table class="m" id="{_safe(table.name)}"><thead><tr>{heads}</tr></thead><tbody>\n{lines}</tbody></table>'
        "</div></figure>"
    )


def head_html(table: Table) -> Markup:
    """The headings of a table without tools."""
    return Markup(_heads(table, False))  # noqa: S704


def _heads(table: Table, sortable: bool) -> str:
    return "".join(_head(column, sortable) for column in table.columns)


def _head(column: Column, sortable: bool) -> str:
    kind = ' class="w"' if column.is_text else ""
    key = f' data-key="{_safe(column.key)}"' if sortable else ""
    first = ' data-first="down"' if sortable and not column.is_text and column.direction != "lower" else ""
    tip = f' title="{_safe(column.tip)}"' if column.tip else ""
    arrow = f"&nbsp;{column.arrow}" if column.arrow else ""
    return f'<th scope="col"{kind}{key}{first}{tip}>{_safe(column.heading)}{arrow}</th>'


def _cell(cell: Cell, column: Column) -> str:
    names = " ".join(filter(None, ("w" if column.is_text else "", cell.mark)))
    kind = f' class="{_safe(names)}"' if names else ""
    value = "" if column.is_text else f' data-v="{"" if cell.value is None else cell.value}"'
    tip = f' title="{_safe(cell.tip)}"' if cell.tip else ""
    return f"<td{kind}{value}{tip}>{_inside(cell)}</td>"


def _inside(cell: Cell) -> str:
    text = _safe(cell.text)
    if cell.link:
        text = f'<a href="{_safe(cell.link)}">{text}</a>'
    if cell.spread:
        text += f' <span class="se">± {_safe(cell.spread)}</span>'
    return f'{text}<span class="rank">{_safe(cell.rank_text)}</span>' if cell.rank else text


def _shaded(cell: Cell) -> str:
    shade = "" if cell.shade is None else f" h{cell.shade:d}"
    tip = f' title="{_safe(cell.tip)}"' if cell.tip else ""
    return f'<td class="{_safe(cell.state)}{shade}"{tip}>{_safe(cell.text)}</td>'


def _safe(text: str) -> str:
    """Text of any origin as HTML shows it."""
    return str(escape(plain(text)))
