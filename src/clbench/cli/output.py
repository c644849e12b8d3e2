"""Printing of JSON, prose and tables."""

import sys
from collections.abc import Iterable, Sequence

from clbench.core import strict_json


def print_json(value: object) -> None:
    """Print a value as JSON; null, with the reason, for numbers that are not finite."""
    print(strict_json.dumps(value, indent=2))


def print_prose(text: str) -> None:
    """Print a docstring and an empty line: wrapped for a terminal, unchanged for a file or a pipe."""
    from clbench.core.table_layout import printable, reflowed

    width = _width()
    print("\n".join(reflowed(text, width) if width else [printable(text)]), end="\n\n")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table and an empty line; all commands print tables with it.

    Numbers are never cut. In a terminal, texts are broken at blanks and columns that do not fit go into further blocks;
    in a file or a pipe each row is one line. Markup in cells is printed as text.

    Args:
        title: Line above the table; empty for none.
        columns: Headings; no line of headings is printed if all are empty.
        rows: Cells of each row, the first of them a label. Columns of numbers are aligned right.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.text import Text

    from clbench.core.table_layout import MARGIN, lay_out, printable, wrapped

    console, width = Console(soft_wrap=True), _width()
    rule = "\N{BOX DRAWINGS LIGHT HORIZONTAL}" if console.encoding.startswith("utf") else "-"

    def put(lines: Iterable[str], style: str = "") -> None:
        for line in lines:
            console.print(Text(line, style))

    if title:
        title = printable(title)
        put(wrapped(title, width, "ignore") if width else [title], "italic")
    for headings, lines in lay_out(columns, list(rows), width):
        put(headings, "bold")
        put([MARGIN + rule * (max(map(cell_len, [*headings, *lines])) - len(MARGIN))] if headings else [])
        put([*lines, ""])


def _width() -> int | None:
    """Width of the terminal; None for a file or a pipe."""
    from rich.console import Console

    return Console().width if sys.stdout.isatty() else None
