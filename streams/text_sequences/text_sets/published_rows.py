"""Rows of published JSON files, and the choice of those that validate."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from clbench.core.errors import DataError
from clbench.core.strict_json import parse_json

SHARE = 0.1
"""Share of each answer's training texts that validates."""
AT_LEAST = 4
"""Least number of texts of each answer that validate, but never more than half of them."""

POINTER = b"version https://git-lfs"


class TextRow(NamedTuple):
    """A row of a file.

    Attributes:
        number: Position of the row in the file, from 0.
        text: Input, without the prompt around it.
        answer: Expected answer.
    """

    number: int
    text: str
    answer: str


def read_rows(path: Path, text: str, answer: str) -> list[TextRow]:
    """The rows of a JSON list of objects with two texts each; other keys are ignored.

    Args:
        path: The file.
        text: Key of a row's input.
        answer: Key of its answer.

    Raises:
        DataError: When the file is missing or is no list of objects, or a text is missing or empty.
    """
    values = read_list(path)
    if not values:
        raise DataError(f"{path}: wanted at least one row, got none")
    return [
        TextRow(number, _text(path, number, value, text), _text(path, number, value, answer))
        for number, value in enumerate(values)
    ]


def read_list(path: Path) -> list[Any]:
    """The values of a JSON list.

    Raises:
        DataError: When the file is missing, not JSON or not a list.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    if data.startswith(POINTER):
        raise DataError(f"{path}: only a pointer to a Git LFS file (`git lfs pull` in its repository gets the file)")
    try:
        values = parse_json(data)
    except (RecursionError, ValueError) as error:
        raise DataError(f"{path}: damaged or not JSON: {error}") from None
    if not isinstance(values, list):
        raise DataError(f"{path}: wanted a JSON list, got {_kind(values)}")
    return values


def validation_texts(rows: Iterable[TextRow]) -> set[str]:
    """The texts that validate: for each answer, those with the smallest hashes.

    Equal texts stay in one part; a text with two answers counts for its first answer.
    """
    first: dict[str, str] = {}
    for row in rows:
        first.setdefault(row.text, row.answer)
    by_answer = defaultdict[str, list[str]](list)
    for text, answer in first.items():
        by_answer[answer].append(text)
    return {text for texts in by_answer.values() for text in sorted(texts, key=_hash)[: _count(len(texts))]}


def _count(texts: int) -> int:
    return min(max(AT_LEAST, round(SHARE * texts)), texts // 2)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _text(path: Path, number: int, value: object, key: str) -> str:
    """One text of a row, checked."""
    if not isinstance(value, dict):
        raise DataError(f"{path}: row {number}: wanted an object with {key!r}, got {_kind(value)}")
    if key not in value:
        raise DataError(f"{path}: row {number}: {key!r} is missing")
    found = value[key]
    if not isinstance(found, str):
        raise DataError(f"{path}: row {number}: {key!r} must be a text, got {_kind(found)}")
    if not found.strip():
        raise DataError(f"{path}: row {number}: {key!r} is empty")
    try:
        found.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can spell and no file can hold
        raise DataError(f"{path}: row {number}: {key!r} is not Unicode text") from None
    return found


def _kind(value: object) -> str:
    names: dict[type, str] = {dict: "an object", list: "a list", str: "a text", bool: "a truth value"}
    return "nothing" if value is None else names.get(type(value), "a number")
