"""How tables and prose fit a width: numbers stay whole, texts are broken at blanks.

Columns that do not fit go into further blocks; each begins with the first column, which says what a row is about.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import Literal

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

MARGIN = " "
GAP = "   "
LONG = 24
"""Cells that a number, or a word of a heading, takes at most; longer labels are broken where the width asks for it."""
NARROW = 72
"""Cells of the narrowest source whose lines are taken for full."""
EARLY = 8
"""A line may be broken so many cells before the source is full."""
CONSOLE = Console()
NUMBER = re.compile(r"[-+]?(\.?\d|(inf|nan|n/a)\b)|[-\N{EN DASH}]?($| of )")

Block = list[tuple[int, int]]
"""Places of columns, and how wide they are."""


@dataclass(frozen=True)
class Column:
    """A column: its texts without what a terminal would obey.

    Attributes:
        heading: Above it.
        cells: From the top.
        numbers: Whether all cells are numbers: they stand right and are never broken.
        least: Cells that it needs.
        most: Cells that it takes where there is room.
    """

    heading: str
    cells: tuple[str, ...]
    numbers: bool
    least: int
    most: int


def lay_out(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int | None
) -> Iterator[tuple[list[str], list[str]]]:
    """The lines of each block: those of the headings, and those of the rows.

    Args:
        columns: Headings.
        rows: Cells; those of the first column are labels.
        width: Of the terminal; None for one block, in which nothing is broken.
    """
    cells = [tuple(map(printable, column)) for column in zip(*rows, strict=True)] if rows else [()] * len(columns)
    made = [_column(printable(heading), cells[index], index == 0) for index, heading in enumerate(columns)]
    for block in _blocks(made, width):
        headings = list(_lines(made, block, [column.heading for column in made])) if any(columns) else []
        texts = zip(*(column.cells for column in made), strict=True)
        yield headings, [line for row in texts for line in _lines(made, block, row)]


def wrapped(text: str, width: int, overflow: Literal["fold", "ignore"] = "fold") -> list[str]:
    """A text in lines that are broken at blanks.

    Args:
        text: Any text.
        width: Cells of a line.
        overflow: Whether a word that is wider than a line is folded, or left whole.
    """
    if cell_len(text) <= width and "\n" not in text:
        return [text]
    return [line.plain.rstrip() for line in Text(text).wrap(CONSOLE, width, overflow=overflow)]


def printable(text: str) -> str:
    """A text without what a terminal would obey; its lines stay."""
    return "".join(character if character.isprintable() or character == "\n" else " " for character in text)


def _column(heading: str, cells: tuple[str, ...], is_label: bool) -> Column:
    widest = max((cell_len(line) for cell in cells for line in cell.splitlines()), default=0)
    most = max(widest, cell_len(heading))
    named = min(_longest_word(heading), LONG)
    if not is_label and widest <= LONG and all(map(NUMBER.match, cells)):
        return Column(heading, cells, True, max(widest, named), most)
    least = LONG if is_label else max(map(_unbroken, cells), default=0)
    return Column(heading, cells, False, min(max(named, least), most), most)


def _unbroken(cell: str) -> int:
    """Width of what must stay in one line of a cell of text: a number with its unit, else the longest word."""
    return cell_len(cell) if NUMBER.match(cell) and cell_len(cell) <= LONG else _longest_word(cell)


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)


def _blocks(columns: Sequence[Column], width: int | None) -> list[Block]:
    if width is None:
        return [[(index, column.most) for index, column in enumerate(columns)]]
    room = width - len(MARGIN)
    widest = max((column.least for column in columns[1:] if column.numbers), default=0)
    label = min(columns[0].least, max(room - len(GAP) - widest, 1))
    left = max(room - len(GAP) - label, 1)
    least = [label, *(column.least if column.numbers else min(column.least, left) for column in columns[1:])]
    fewest = len(_packed(least, room))
    even = next(blocks for limit in range(room + 1) if len(blocks := _packed(least, limit)) == fewest)
    return [_grown(block, columns, room) for block in even]


def _packed(least: Sequence[int], room: int) -> list[Block]:
    """Columns in as few blocks as their order and the room allow; a column that is too wide has a block of its own."""
    blocks: list[Block] = [[(0, least[0])]]
    for index, wide in enumerate(least[1:], 1):
        if len(blocks[-1]) > 1 and _needed([*blocks[-1], (index, wide)]) > room:
            blocks.append([(0, least[0])])
        blocks[-1].append((index, wide))
    return blocks


def _needed(block: Block) -> int:
    return sum(wide + len(GAP) for _, wide in block) - len(GAP)


def _grown(block: Block, columns: Sequence[Column], room: int) -> Block:
    """Share out what is left of the width: to labels up to half of it, then to all that can use it, a cell in turn."""
    widths = dict(block)
    free = room - _needed(block)
    more = max(0, min(free, columns[0].most - widths[0], room // 2 - widths[0]))
    widths[0], free = widths[0] + more, free - more
    while free > 0 and (growing := [index for index in widths if widths[index] < columns[index].most]):
        for index in growing[:free]:
            widths[index] += 1
        free -= len(growing[:free])
    return list(widths.items())


def _lines(columns: Sequence[Column], block: Block, texts: Sequence[str]) -> Iterator[str]:
    parts = [wrapped(texts[index], wide) for index, wide in block]
    for line in zip_longest(*parts, fillvalue=""):
        cells = (_padded(text, wide, columns[index].numbers) for text, (index, wide) in zip(line, block, strict=True))
        yield (MARGIN + GAP.join(cells)).rstrip()


def _padded(text: str, width: int, right: bool) -> str:
    blanks = " " * (width - cell_len(text))
    return blanks + text if right else text + blanks


def reflowed(text: str, width: int) -> list[str]:
    """Prose for a width: lines that were broken because the source was full are joined first, all others stay.

    Args:
        text: A docstring without the indentation of its source.
        width: Of the terminal.
    """
    source = printable(text).splitlines()
    full = max([NARROW, *(cell_len(line) - EARLY for line in source)])
    paragraphs: list[str] = []
    for last, line in pairwise(["", *source]):
        word, _, _ = line.strip().partition(" ")
        deeper = _indent(line) - _indent(paragraphs[-1]) if paragraphs else 0
        goes_on = deeper > 0 or (deeper == 0 and not _indent(line) and not word.endswith(":"))
        if last.strip() and word and goes_on and cell_len(last) + 1 + cell_len(word) > full:
            paragraphs[-1] += f" {line.strip()}"
        else:
            paragraphs.append(line.rstrip())
    lines = []
    for paragraph in paragraphs:
        margin = " " * min(_indent(paragraph), width // 2)
        lines += [margin + part for part in wrapped(paragraph.strip(), width - len(margin))]
    return lines


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
