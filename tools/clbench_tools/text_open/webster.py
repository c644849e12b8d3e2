"""Definitions of Webster's dictionary of 1913, without what its later editors added."""

import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clbench_tools.text_open.books import DICTIONARY
from clbench_tools.text_open.open_packages import read
from clbench_tools.text_open.tidy import tidy

MARK = "[1913 Webster]\n"
OTHERS = re.compile(r"\[(?:WordNet|Webster 1913 Suppl|[^\]\n]*PJC)[^\]]*\]")
"""Origins of other pieces."""
LETTERS = {"ae": "ae", "AE": "AE", "oe": "oe", "'e": "e", "`e": "e", "^e": "e", '"u': "u", '"o': "o", '"a': "a"}
LETTERS |= {",c": "c", "deg": " degrees", "frac12": " 1/2"}
TAG = r"\(([A-Z][A-Za-z. &]{1,16})\)"


@dataclass(frozen=True)
class Definition:
    """A sense.

    Attributes:
        key: Unique; the entry stands before `#`.
        word: That is defined.
        field: Abbreviation of its field, such as `Zool.`, or empty.
        text: Without quotations and marks.
    """

    key: str
    word: str
    field: str
    text: str


def definitions(cache: Path) -> Iterator[Definition]:
    """The pieces that end in the mark of the edition of 1913."""
    (data,) = read("webster", cache, DICTIONARY).values()
    text = gzip.decompress(data).decode("utf-8", "replace")
    for number, entry in enumerate(re.split(r"\n\n(?=\S)", text)):
        word = entry.split("\\", 1)[0].strip()
        for place, piece in enumerate(entry.split(MARK)[:-1]):
            found = _definition(OTHERS.split(piece)[-1])
            if found and re.fullmatch(r"[A-Za-z][a-z '-]*", word):
                yield Definition(f"webster/{number}#{place}", word.lower(), *found)


def _definition(piece: str) -> tuple[str, str] | None:
    """Field and text of the first sense in a piece, where it is a plain definition."""
    piece = re.sub(r"\[([^\[\]\n]{1,7})\]", lambda match: LETTERS.get(match[1], ""), piece)
    piece = re.sub(r"\[[^\[\]]*\]", "", piece)
    head = re.match(r"\S[^\n]*\\[^\n]*\n", piece)
    field = re.search(TAG + r"\s*$", head[0]) if head else None
    body = piece[head.end() :] if head else piece
    if head is None and not re.match(r"\s*\d+\.\s", piece):  # a quotation, or a term of two words
        return None
    match = re.match(r"\s*(?:\d+\.\s+)?(?:" + TAG + r"\s*)?(.*)", body, re.DOTALL)
    if match is None:
        return None
    text = re.split(r"\n\s*\n|\n\s+\d+\.\s|\bNote:|\bSyn:", match[2])[0]
    text = re.sub(r"\s--\s?[A-Z][\w.' &]{1,25}(?:\([^)]*\))?\.?\s*$", "", text)
    text = re.sub(
        r"(?:^|(?<=[.;] ))See\b(?: Illusts?\.)?[^.;]*[.;]?", "", tidy(re.sub(r"[{}]|\([a-z]\)", "", text))
    ).strip(" ,;")
    if not re.match(r"[A-Z]", text) or re.search(r"[\[\]\\]|\bSee\b|Same as", text):
        return None
    return match[1] or (field[1] if field else ""), text
