"""Rows of CSV files with their places; cells are read as texts, numbers or points, or refused."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clbench.core.csv_files import number_of, read_cells
from clbench.core.errors import DataError

ENCODINGS = ("utf-8", "gbk")


@dataclass(frozen=True)
class CsvRow:
    """A row of a CSV file.

    Attributes:
        file: The file.
        number: Number of the row as in a spreadsheet: the header is row 1.
        cells: Texts by column, with the blanks around them.
    """

    file: Path
    number: int
    cells: Mapping[str, str]

    @property
    def where(self) -> str:
        """The place, for messages."""
        return f"{self.file}: row {self.number}"

    def optional(self, column: str) -> str:
        """A text without the blanks around it; empty where there is none, or no such column."""
        return self.cells.get(column, "").strip()

    def text(self, column: str) -> str:
        """A text that must be there, unchanged.

        Raises:
            DataError: When the column is missing or the cell is empty.
        """
        if column not in self.cells:
            raise DataError(f"{self.file}: column {column!r} is missing (wanted for row {self.number})")
        if not self.cells[column].strip():
            raise DataError(f"{self.where}: {column} is empty")
        return self.cells[column]

    def number_in(self, column: str) -> float:
        """A finite number.

        Raises:
            DataError: For anything else.
        """
        text = self.text(column)
        try:
            return number_of(text)
        except ValueError as error:
            raise DataError(f"{self.where}: {column} must be a number, got {text[:60]!r}{error}") from None

    def count_in(self, column: str) -> int:
        """A whole number, also where it is written as `3.0`.

        Raises:
            DataError: For anything else.
        """
        value = self.number_in(column)
        if not value.is_integer():
            raise DataError(f"{self.where}: {column} must be a whole number, got {self.cells[column][:60]!r}")
        return int(value)

    def point_in(self, column: str) -> tuple[float, float]:
        """A point `[x, y]` in JSON; (0, 0) where the cell is empty, as in the challenge.

        Raises:
            DataError: When the column is missing or holds something else.
        """
        if column in self.cells and not self.cells[column].strip():
            return 0.0, 0.0
        text = self.text(column)
        try:
            match json.loads(text):
                case [int() | float() as x, int() | float() as y] if math.isfinite(x) and math.isfinite(y):
                    return float(x), float(y)
        except (OverflowError, RecursionError, ValueError):
            pass
        raise DataError(f"{self.where}: {column} must be [x, y], got {text[:60]!r}")


def read_csv(file: Path, columns: Sequence[str], separator: str = ",") -> list[CsvRow]:
    """The rows of a CSV file in UTF-8 (with or without a byte-order mark) or GBK; empty lines are left out.

    Blanks around the names of columns are removed.

    Args:
        file: The file.
        columns: Names of columns of which at least one must be there.
        separator: Character between cells.

    Raises:
        DataError: When it cannot be read, or a row has not the cells that the header names.
    """
    rows = read_cells(file, columns, separator, ENCODINGS)
    if len(rows) < 2:
        raise DataError(f"{file}: wanted at least one row, got none")
    header = [name.strip() for name in rows[0][1]]
    return [CsvRow(file, number, dict(zip(header, cells, strict=True))) for number, cells in rows[1:]]
