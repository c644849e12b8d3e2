"""A table of the site: its cells, from which HTML and all other formats are made."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

from clbench.reports.headings import ARROWS, NO_NUMBER

Mark = Literal["", "best", "failed", "soft"]


@final
@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        key: Name in CSV and JSON.
        heading: Heading in words.
        direction: `higher` or `lower` is better; empty where a number has none.
        is_text: Whether its cells are words, aligned to the left.
        tip: What it means, one sentence.
    """

    key: str
    heading: str
    direction: str = ""
    is_text: bool = False
    tip: str = ""

    @property
    def arrow(self) -> str:
        """Arrow of the better direction; empty without one."""
        return ARROWS.get(self.direction, "")


@final
@dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes:
        text: As it is shown, without the interval.
        value: The number with every digit, by which rows are sorted; None for words and where there is none.
        spread: Half of the interval as it is shown; empty without one.
        half_width: Half of the interval with every digit.
        n: Number of seeds; None where there are none.
        rank: Lowest and highest rank that the seeds allow; None without one.
        mark: What sets the cell apart.
        link: Address of a page; empty without one.
        tip: Words that explain the cell.
        shade: Strength of its colour from 0 to 20, for heat maps; None without one.
        state: State of a cell of R, as in `matrix_labels`; empty for other tables.
    """

    text: str
    value: float | None = None
    spread: str = ""
    half_width: float | None = None
    n: int | None = None
    rank: tuple[int, int] | None = None
    mark: Mark = ""
    link: str = ""
    tip: str = ""
    shade: int | None = None
    state: str = ""

    @property
    def whole(self) -> str:
        """The text with its interval and its rank."""
        text = f"{self.text} ± {self.spread}" if self.spread else self.text
        return f"{text} ({self.rank_text})" if self.rank else text

    @property
    def rank_text(self) -> str:
        """The interval of ranks in words; empty without one."""
        if self.rank is None:
            return ""
        low, high = self.rank
        return f"rank {low}" if low == high else f"rank {low} to {high}"


EMPTY = Cell(NO_NUMBER)


@final
@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: Its name in addresses and files: lower-case letters, digits and hyphens.
        title: Its title.
        columns: The columns; the first one names the row.
        rows: The cells of each row, as many as there are columns.
        note: What to know of it, a sentence or more.
        wide: Whether it can be sorted and filtered.
        is_map: Whether it is a heat map.
    """

    name: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    wide: bool = False
    is_map: bool = False
