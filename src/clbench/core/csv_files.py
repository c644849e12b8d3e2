"""CSV files as spreadsheets and scripts write them: one way to read them, which names what is wrong with a file.

Rows are parsed by `csv`. Encoding, byte order mark, NUL bytes, separator, quotes, duplicate columns and the number of
cells in a row are checked.
"""

import codecs
import contextlib
import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from clbench.core.errors import DataError

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars", " ": "blanks"}
MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",  # begins as the next but one, and comes first
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
DECIMAL_COMMA = re.compile(r"\s*[-+]?\d*,\d+([eE][-+]?\d+)?\s*")
CUT_NUMBER = re.compile(r"[-+]?\d*,\d+")
LINE_END = re.compile(r"\r\n|\r|\n")
Rows = list[tuple[int, list[str]]]


def read_cells(path: Path, columns: Sequence[str], separator: str = ",", encodings: Sequence[str] = ("utf-8",)) -> Rows:
    """The rows of a CSV file, each with its number as a spreadsheet counts; rows of empty cells are left out.

    Args:
        path: The file.
        columns: Expected column names; the first row must have one of them, so that a wrong separator is noticed. Empty
            for a file without column names.
        separator: Character between cells.
        encodings: Encodings that are tried in order; a byte order mark overrules them.

    Raises:
        DataError: When the file is missing or is not such a table.
    """
    text = read_text(path, encodings)
    if "\0" in text:
        number = 1 + len(LINE_END.findall(text[: text.index("\0")]))
        raise DataError(f"{path}: row {number}: wanted text, got a NUL byte: damaged, or UTF-16 without a mark")
    _check_separator(path, text, columns, separator)
    rows = list(_parsed(path, text, separator))
    if rows:
        _check_cells(path, rows, bool(columns), separator)
    return rows


def read_text(path: Path, encodings: Sequence[str] = ("utf-8",)) -> str:
    """The text of a file, without a byte order mark.

    Raises:
        DataError: When it cannot be read, or is in none of the encodings.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    for mark, encoding in MARKS.items():
        if data.startswith(mark):
            data, encodings = data[len(mark) :], (encoding,)
            break
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError as error:
            wrong = f"byte 0x{data[error.start]:02x} at position {error.start}"
    if len(encodings) > 1:
        raise DataError(f"{path}: neither {' nor '.join(encoding.upper() for encoding in encodings)}")
    raise DataError(f"{path}: wanted {encodings[0].upper()} text, got {wrong}")


def number_of(cell: str) -> float:
    """A finite number.

    Raises:
        ValueError: For anything else; the reason is empty or begins with a colon.
    """
    try:
        value = math.nan if "_" in cell else float(cell)  # Python reads 1_0 as 10; a table that says so is damaged
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        comma = DECIMAL_COMMA.fullmatch(cell)
        raise ValueError(f": write the decimal comma as a point, {cell.strip().replace(',', '.')}" if comma else "")
    return value


def _parsed(path: Path, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    number = 0
    try:
        for number, cells in enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True), 1):
            if any(cell.strip() for cell in cells):
                yield number, cells
    except csv.Error as error:
        raise DataError(f"{path}: row {number + 1}: wanted CSV, got {error}") from None


def _check_separator(path: Path, text: str, columns: Sequence[str], separator: str) -> None:
    """Refuse a file with another separator, which is the one that yields the expected names or more than one cell."""
    first = {character: _first_row(path, text, character) for character in SEPARATORS}
    if set(first[separator][1]) & set(columns):
        return
    alone = len(first[separator][1]) < 2
    # The separator that yields most of the expected columns, else the one that yields most cells.
    other = max(
        (o for o in SEPARATORS if o != separator),
        key=lambda o: (len(set(first[o][1]) & set(columns)), len(first[o][1]) if o != " " else 0),
    )
    number, cells = first[other]
    if set(cells) & set(columns) or (alone and len(cells) > 1 and other != " "):
        wanted = (
            f"wanted {SEPARATORS[separator]} ({separator!r}) between the cells, got {SEPARATORS[other]} ({other!r})"
        )
        comma = other != "," and any(map(DECIMAL_COMMA.fullmatch, re.split(f"[{re.escape(other)}\r\n]", text)))
        also = f", and decimal commas: save it with {SEPARATORS[separator]} and decimal points" if comma else ""
        raise DataError(f"{path}: row {number}: {wanted}{also}")


def _first_row(path: Path, text: str, separator: str) -> tuple[int, list[str]]:
    """The first row that is not empty; no cells if it does not parse."""
    with contextlib.suppress(DataError, StopIteration):
        number, cells = next(_parsed(path, text, separator))
        return number, [cell.strip() for cell in cells]
    return 1, []


def _check_cells(path: Path, rows: Rows, named: bool, separator: str) -> None:
    first, header = rows[0]
    names = [name.strip() for name in header]
    twice = next((name for name in names if name and names.count(name) > 1), None) if named else None
    if twice is not None:
        raise DataError(f"{path}: row {first}: column {twice!r} is there more than once")
    for number, cells in rows[1:]:
        if len(cells) != len(header):
            hint = _why_ragged(cells, len(header), separator)
            raise DataError(f"{path}: row {number}: wanted {len(header)} cells, got {len(cells)}{hint}")


def _why_ragged(cells: Sequence[str], wanted: int, separator: str) -> str:
    if separator == "," and len(cells) > wanted and CUT_NUMBER.fullmatch(",".join(cells[-2:])):
        return " (decimal commas? Write points)"
    for other, name in SEPARATORS.items():
        if len(cells) == 1 < wanted and cells[0].count(other) == wanted - 1:
            return f" (this row has {name}, {other!r}, between its cells)"
    return ""
