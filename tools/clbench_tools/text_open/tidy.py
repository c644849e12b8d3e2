"""Texts in plain characters, and passages of whole sentences."""

import html
import re

from clbench_tools.text_rows.passages import passage

PLAIN = {
    "\u00a0": " ",
    "\u2018": "'",
    "\u2019": "'",
    "\u201c": '"',
    "\u201d": '"',
    "\u2013": "-",
    "\u2014": " - ",
    "--": " - ",
}
SENTENCE = re.compile(r"(?<=[.!?;:])(?<!\bMr\.)(?<!\bMrs\.)(?<!\bDr\.)(?<!\bSt\.)\s+")
"""Where a sentence, or a part of a long one, ends."""
WORDS = 38
"""A passage ends with the sentence before it would have more words."""


def tidy(text: str) -> str:
    """Text in one line, without tags, entities, typographic quotes and dashes."""
    text = html.unescape(re.sub(r"<[^>]+>", " ", text))
    for mark, plain in PLAIN.items():
        text = text.replace(mark, plain)
    return re.sub(r"\s+", " ", text).strip()


def sentences(text: str, least: int) -> list[str]:
    """Passages for rows: whole sentences of each paragraph; what is longer than a row may be is cut.

    Args:
        text: Paragraphs, with a blank line between two.
        least: Words that a passage has at least.
    """
    found: list[list[str]] = []
    for paragraph in re.split(r"\n\s*\n", text):
        words: list[str] = []
        for sentence in SENTENCE.split(tidy(paragraph)):
            more = sentence.split()
            if words and len(words) + len(more) > WORDS:
                found.append(words)
                words = []
            words = words + more
        found.append(words)
    return [passage(" ".join(words)) for words in found if len(words) >= least]
