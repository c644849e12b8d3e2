"""Chapters of the World English Bible; `group` is the part of the Bible."""

import re
from collections.abc import Iterator
from pathlib import Path

from clbench_tools.text_open.open_packages import read
from clbench_tools.text_open.sword import chapters
from clbench_tools.text_open.tidy import tidy
from clbench_tools.text_rows.passages import Document

BOOKS = {
    "genesis": "Gen",
    "law": "Exod Lev Num Deut",
    "chronicle": "Josh Judg Ruth 1Sam 2Sam 1Kgs 2Kgs 1Chr 2Chr Ezra Neh Esth",
    "poetry": "Job Ps Prov Eccl Song",
    "prophecy": "Isa Jer Lam Ezek Dan Hos Joel Amos Obad Jonah Mic Nah Hab Zeph Hag Zech Mal",
    "gospel": "Matt Mark Luke John",
    "acts": "Acts",
    "letter": "Rom 1Cor 2Cor Gal Eph Phil Col 1Thess 2Thess 1Tim 2Tim Titus Phlm Heb Jas 1Pet 2Pet 1John 2John 3John "
    "Jude",
    "revelation": "Rev",
}
PART = {book: part for part, books in BOOKS.items() for book in books.split()}
MODULE = "./usr/share/sword/modules/texts/*"
PIECE = 26
"""A piece of a chapter ends with the verse that brings it to so many words."""


def bible_chapters(cache: Path) -> Iterator[Document]:
    """Chapters of the books of `BOOKS`, a verse a paragraph, without notes, titles and speakers' marks."""
    for chapter, verses in chapters(read("bible", cache, MODULE)):
        part = PART.get(chapter.split(".")[0])
        if part:
            yield Document(f"bible/{chapter}", part, "\n\n".join(filter(None, map(_verse, verses))))


def _verse(text: str) -> str:
    text = re.sub(r"(?s)<note.*?</note>|<title.*?</title>", " ", text)
    text = tidy(re.sub(r"<[^>]+>", "", text))
    return re.sub(r" (?=[.,;:?!)])", "", text)


def verses_together(text: str) -> list[str]:
    """Neighbouring verses, until they have at least `PIECE` words; a short rest is left out."""
    found, words = [], list[str]()
    for verse in text.split("\n\n"):
        words += verse.split()
        if len(words) >= PIECE:
            found.append(" ".join(words))
            words = []
    return found
