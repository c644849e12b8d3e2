"""Documents, and the passages that they are cut into."""

from collections.abc import Sequence
from dataclasses import dataclass

from clbench_tools.text_rows.near import distinct, near_any

WORDS = 45
"""Words of a passage of the corpus."""
ROW_WORDS = 40
ROW_CHARACTERS = 230
"""A row of the stream is cut before either is passed: with its prompt it has at most 64 tokens, nearly always."""
SHORTEST = 12
HELD_OUT = 2000
"""Passages that nothing is trained on."""


@dataclass(frozen=True)
class Document:
    """A text and what its source says about it.

    Attributes:
        key: Unique: the source and a name or number in it. What follows a `#` names a part of the document.
        group: Class, author or title, as the source names it.
        text: As it is there.
    """

    key: str
    group: str
    text: str


def whole(key: str) -> str:
    """The key of the document that a text with this key is a part of."""
    return key.split("#", 1)[0]


def passage(text: str) -> str:
    """The first words of a text, as many as a row of the stream may have."""
    words = text.split()[:ROW_WORDS]
    while sum(len(word) + 1 for word in words) > ROW_CHARACTERS:
        words.pop()
    return " ".join(words)


def passages(text: str) -> list[str]:
    """All passages of a text for the corpus; a short rest is left out."""
    words = text.split()
    cut = [words[start : start + WORDS] for start in range(0, len(words), WORDS)]
    return [" ".join(part) for part in cut if len(part) >= SHORTEST]


def held_out(documents: Sequence[Document], rows: list[str]) -> tuple[list[str], set[str]]:
    """Whole passages of the first documents, none nearly the same as a row, and the keys of these documents."""
    texts: list[str] = []
    taken: set[str] = set()
    for document in documents:
        full = [text for text in passages(document.text) if len(text.split()) == WORDS]
        if full and len(texts) < HELD_OUT * 1.15:
            taken.add(document.key)
            texts += full
    texts = [texts[i] for i in distinct(texts)]
    return [text for text, bad in zip(texts, near_any(texts, rows), strict=True) if not bad][:HELD_OUT], taken
