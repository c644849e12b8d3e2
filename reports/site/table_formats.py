"""Tables as Markdown, CSV, JSON and LaTeX."""

import csv
import io
import re
from collections.abc import Mapping, Sequence

from clbench.core import strict_json
from clbench.reports.headings import NO_NUMBER
from clbench.reports.leaderboard.text import csv_text, encodable, markdown, plain
from clbench.reports.site.site_table import Cell, Column, Table

LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    NO_NUMBER: "--",
}
"""Characters of LaTeX, and signs that our tables use, with what prints them."""
MINUS = re.compile(r"(?<![\w.])-(?=\d)")
"""The sign of a negative number."""
SPECIAL = re.compile("|".join(map(re.escape, LATEX)))


def to_markdown(title: str, tables: Sequence[Table]) -> str:
    """Tables with their titles, as Git and chats show them.

    Args:
        title: Title of the page.
        tables: Its tables.
    """
    lines = [f"# {markdown(title)}"]
    for table in tables:
        lines += ["", f"## {markdown(table.title)}", ""]
        lines += [markdown(table.note), ""] if table.note else []
        lines.append(f"| {' | '.join(markdown(_heading(column)) for column in table.columns)} |")
        lines.append(f"|{'|'.join('---' if column.is_text else '---:' for column in table.columns)}|")
        lines += [f"| {' | '.join(_marked(cell) for cell in row)} |" for row in table.rows]
    return "\n".join(lines) + "\n"


def to_csv(table: Table) -> str:
    """One table: numbers with every digit, with half of their interval and the number of seeds where there are any."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    extras = [_extras(table, index) for index in range(len(table.columns))]
    header = [
        csv_text(name)
        for column, extra in zip(table.columns, extras, strict=True)
        for name in (column.key, *(f"{column.key} {what}" for what in extra))
    ]
    writer.writerow(header)
    for row in table.rows:
        writer.writerow([value for cell, extra in zip(row, extras, strict=True) for value in _csv_cells(cell, extra)])
    return encodable(text.getvalue())


def to_json(title: str, tables: Sequence[Table]) -> str:
    """All tables of a page, numbers with every digit.

    Args:
        title: Title of the page.
        tables: Its tables.
    """
    return strict_json.dumps({"schema": 1, "title": title, "tables": list(map(_json_table, tables))}) + "\n"


def to_latex(title: str, tables: Sequence[Table]) -> str:
    r"""All tables of a page for the package booktabs: one `table` each, the best method in bold.

    Args:
        title: Title of the page.
        tables: Its tables.
    """
    lines = [f"% {plain(title)}", r"% \usepackage{booktabs}"]
    for table in tables:
        kinds = "".join("l" if column.is_text else "r" for column in table.columns)
        lines += ["", r"\begin{table}", r"\centering", rf"\caption{{{latex(f'{title}: {table.title}')}}}"]
        lines.append(rf"\label{{tab:{_slug(title)}-{_slug(table.name)}}}")
        lines += [rf"\begin{{tabular}}{{{kinds}}}", r"\toprule"]
        lines += [" & ".join(latex(_heading(column)) for column in table.columns) + r" \\", r"\midrule"]
        for row in table.rows:
            cells = [rf"\textbf{{{_latex_cell(c)}}}" if c.mark == "best" else _latex_cell(c) for c in row]
            lines.append(" & ".join(cells) + r" \\")
        lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return encodable("\n".join(lines) + "\n")


def latex(text: str) -> str:
    """Text that LaTeX prints unchanged: no command, no comment, no end of a cell."""
    return SPECIAL.sub(lambda found: LATEX[found[0]], plain(text))


def _latex_cell(cell: Cell) -> str:
    """A cell, with the sign of negative numbers as mathematics, where it is a minus and no hyphen."""
    text = latex(cell.whole)
    return text if cell.value is None else MINUS.sub("$-$", text)


def _slug(text: str) -> str:
    """Text as a part of a label of LaTeX."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _heading(column: Column) -> str:
    return f"{column.heading} {column.arrow}".rstrip()


def _marked(cell: Cell) -> str:
    text = markdown(cell.whole)
    return f"**{text}**" if cell.mark == "best" else text


def _extras(table: Table, index: int) -> list[str]:
    """Names of the further columns that a column has in CSV."""
    cells = [row[index] for row in table.rows]
    found = {
        "half width": any(cell.half_width is not None for cell in cells),
        "n": any(cell.n for cell in cells),
        "lowest rank": any(cell.rank for cell in cells),
        "highest rank": any(cell.rank for cell in cells),
    }
    return [what for what, there in found.items() if there]


def _csv_cells(cell: Cell, extras: Sequence[str]) -> list[float | int | str]:
    text = "" if cell.value is None and cell.text == NO_NUMBER else csv_text(cell.whole)
    low, high = cell.rank or (None, None)
    further = {"half width": cell.half_width, "n": cell.n, "lowest rank": low, "highest rank": high}
    values = [further[what] for what in extras]
    return [text if cell.value is None else cell.value, *("" if value is None else value for value in values)]


def _json_table(table: Table) -> Mapping[str, object]:
    return {
        "name": table.name,
        "title": plain(table.title),
        "note": table.note,
        "columns": [
            {"key": plain(column.key), "heading": plain(column.heading), "direction": column.direction}
            for column in table.columns
        ],
        "rows": [list(map(_json_cell, row)) for row in table.rows],
    }


def _json_cell(cell: Cell) -> object:
    if cell.value is None:
        return None if cell.text == NO_NUMBER else plain(cell.whole)
    found = {
        "value": cell.value,
        "half_width": cell.half_width,
        "n": cell.n,
        "rank": cell.rank,
        "best": cell.mark == "best" or None,
    }
    return {name: value for name, value in found.items() if value is not None}
