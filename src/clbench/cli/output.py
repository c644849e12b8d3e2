"""Printing for people and for programs."""

import sys
from collections.abc import Iterable, Sequence

from clbench import strict_json


def print_json(value: object) -> None:
    """Print JSON on standard output, nothing else; null, with the reason, where a number is not finite."""
    print(strict_json.dumps(value, indent=2))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table: the first column is text, the others are numbers."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left", header_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(escape(column), justify="left" if index == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    width = None if sys.stdout.isatty() else 200  # a file or a pipe has no width: do not cut
    Console(width=width).print(table)


def print_texts(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows of texts without rules."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(escape(column), overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    Console().print(table)
