"""Rows of a sample log with their line numbers: one JSON object on each line, or one JSON list in the file.

lm-evaluation-harness writes lines since 0.4.3. Up to 0.4.2 it wrote one indented list, also as `.jsonl`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from clbench.core.errors import DataError
from clbench.core.strict_json import parse_json

BEFORE_AN_ITEM = re.compile(r"[\s,]*")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""Byte order mark, which some editors write before UTF-8 text."""


def read_objects(path: Path) -> Iterator[tuple[str, Mapping[str, object]]]:
    """The objects of a file, each with its place (`file, line 7`).

    Raises:
        DataError: If the file is missing, is not JSON in UTF-8, or has values that are not objects.
    """
    try:
        with path.open("rb") as file:
            listed = file.read(4096).removeprefix(BYTE_ORDER_MARK).lstrip().startswith(b"[")
            file.seek(0)
            for number, value in _items(path, file.read()) if listed else _lines(path, file):
                if not isinstance(value, dict):
                    raise DataError(f"{path}, line {number}: wanted a JSON object, got {type(value).__name__}")
                yield f"{path}, line {number}", value
    except FileNotFoundError:
        raise DataError(f"{path}: no such sample log") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def first_object(path: Path) -> Mapping[str, Any]:
    """The object in the first line of a file, or the one that the whole file is; empty if it is neither.

    Raises:
        DataError: If the file cannot be read, or is one object and damaged.
    """
    try:
        with path.open("rb") as file:
            line = file.readline().removeprefix(BYTE_ORDER_MARK).strip()
            data = line if line != b"{" or path.suffix != ".json" else line + b"\n" + file.read()
    except FileNotFoundError:
        raise DataError(f"{path}: no such sample log") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    if not data.startswith(b"{") or data == b"{":
        return {}
    value = _loaded(path, _decoded(path, data, 1), 1)
    return value if isinstance(value, dict) else {}


def _lines(path: Path, file: BinaryIO) -> Iterator[tuple[int, object]]:
    for number, data in enumerate(file, 1):
        line = _decoded(path, data if number > 1 else data.removeprefix(BYTE_ORDER_MARK), number).strip()
        if line == "{":
            raise DataError(
                f"{path}, line {number}: wanted a sample log, one JSON object on each line, got a part of one"
            )
        if line:
            yield number, _loaded(path, line, number)


def _items(path: Path, data: bytes) -> Iterator[tuple[int, object]]:
    text = _decoded(path, data.removeprefix(BYTE_ORDER_MARK), 1)
    items = _loaded(path, text, 1)
    assert isinstance(items, list)  # it begins with a bracket
    decoder, place, begun, line = json.JSONDecoder(), text.index("[") + 1, 0, 1
    for item in items:
        found = BEFORE_AN_ITEM.match(text, place)
        assert found is not None  # the pattern also matches the empty text
        line += text.count("\n", begun, found.end())
        begun = found.end()
        yield line, item
        place = decoder.raw_decode(text, begun)[1]


def _decoded(path: Path, data: bytes, number: int) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = number + data.count(b"\n", 0, error.start)
        raise DataError(f"{path}, line {line}: wanted UTF-8 text, got byte 0x{data[error.start]:02x}") from None


def _loaded(path: Path, text: str, number: int) -> object:
    """The JSON value of a text; `number` is the line that it begins in."""
    try:
        value: object = parse_json(text)
    except json.JSONDecodeError as error:
        place = f"{path}, line {number + error.lineno - 1}"
        raise DataError(f"{place}: damaged or not JSON: {error.msg} at column {error.colno}") from None
    except (RecursionError, ValueError) as error:
        raise DataError(f"{path}, line {number}: damaged or not JSON: {error}") from None
    return value
