"""The six tasks: which documents may stand in which part, and the rows that they give."""

import re
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path

import numpy as np

from clbench_tools.text_open import books
from clbench_tools.text_open.bible import bible_chapters, verses_together
from clbench_tools.text_open.open_kinds import domains, says, without_label
from clbench_tools.text_open.references import profiles
from clbench_tools.text_open.tidy import sentences
from clbench_tools.text_open.webster import definitions
from clbench_tools.text_rows.passages import Document, passage, whole
from clbench_tools.text_rows.rows import Candidates, Row, Task
from clbench_tools.text_rows.wordnet import Gloss, glosses

SIZES = {"test": 400, "validation": 200, "train": 800}
"""Rows of each part, in the order in which they are chosen: of two near-duplicates the test part keeps one."""

AUTHORS = ("austen", "melville", "shakespeare", "henry", "bierce")
KINDS = ("animal", "body", "food", "person", "plant", "substance", "time")
TASKS = {
    "author": Task("author: ", {author: author for author in AUTHORS}),
    "bible": Task("part of the bible: ", {part: part for part in ("law", "poetry", "gospel", "letter")}),
    "factbook": Task(
        "about a country: ",
        {
            "Government": "government",
            "Economy": "economy",
            "Communications": "media",
            "Geography": "land",
            "Introduction": "history",
            "People and Society": "people",
        },
    ),
    "field": Task(
        "field of an old word: ",
        {
            "Zool.": "animals",
            "Bot.": "plants",
            "Law": "law",
            "Chem.": "chemistry",
            "Med.": "medicine",
            "Naut.": "ships",
            "Arch.": "buildings",
            "Mus.": "music",
        },
    ),
    "topic": Task(
        "topic: ",
        {
            "military": "war",
            "sport": "sport",
            "biology": "biology",
            "mathematics": "mathematics",
            "computer science": "computing",
            "physics": "physics",
            "religion": "religion",
            "Greek mythology": "myth",
        },
    ),
    "nouns": Task("kind of thing: ", {**{kind: kind for kind in KINDS}, "location": "place"}),
}
SAME_FIELD = {"Surg.": "Med.", "Eng. Law": "Law", "Scots Law": "Law", "Shipbuilding": "Naut."}
"""Fields of Webster that are a part of another one."""
SAME_SUBJECT = {
    "sport": "baseball,golf,football,American football,basketball,tennis,hockey,ice hockey,cricket,soccer",
    "biology": "genetics,biochemistry,cytology,ecology,physiology,zoology,microbiology",
    "mathematics": "statistics,geometry,arithmetic,algebra,trigonometry,calculus,topology",
    "computer science": "computer,programming,software",
    "physics": "mechanics,thermodynamics,optics,electricity,nuclear physics,electronics,quantum mechanics,acoustics",
    "religion": "Roman Catholic,Judaism,Islam,Christianity,Hinduism,Buddhism,theology,church service,Roman Catholicism",
    "Greek mythology": "Norse mythology,Roman mythology,classical mythology,Celtic mythology,Egyptian deity",
}
"""Subjects of WordNet, and those that are a part of them."""
SUBJECT = {part: subject for subject, parts in SAME_SUBJECT.items() for part in parts.split(",")}
SHORTEST = 5
"""Words of a definition."""
CAPS = {"austen": 10, "melville": 10, "shakespeare": 15, "henry": 5, "bierce": 8, "bible": 8, "factbook": 3}
"""Rows that one document gives at most, so that not all documents are used up."""

Pieces = list[Document]


def all_candidates(cache: Path, rng: np.random.Generator) -> dict[str, Candidates]:
    """The rows that each part of each task may take; a document is in one part."""
    senses = glosses(cache)
    found = {
        "author": _candidates("author", _authors(cache), rng),
        "bible": _candidates("bible", _bible(cache), rng),
        "factbook": _candidates("factbook", _factbook(cache), rng),
        "field": _candidates("field", _field(cache), rng),
    }
    topics = _topics(senses)
    taken = {piece.key for piece in topics}
    nouns = [sense for sense in senses if sense.key not in taken and sense.word_class == "noun"]
    found["topic"] = _candidates("topic", topics, rng)
    found["nouns"] = _candidates("nouns", [Document(s.key, s.category, s.definition) for s in nouns], rng)
    return found


def _authors(cache: Path) -> Pieces:
    readers = (books.austen, books.melville, books.shakespeare, books.henry, books.bierce)
    documents = chain.from_iterable(reader(cache) for reader in readers)
    names = re.compile("|".join(AUTHORS), re.IGNORECASE)
    return [piece for piece in _cut(documents, lambda text: sentences(text, least=26)) if not names.search(piece.text)]


def _bible(cache: Path) -> Pieces:
    return _cut(bible_chapters(cache), verses_together)


def _factbook(cache: Path) -> Pieces:
    return _cut(profiles(cache), lambda text: sentences(text, least=10))


def _field(cache: Path) -> Pieces:
    return [
        Document(item.key, SAME_FIELD.get(item.field, item.field), item.text)
        for item in definitions(cache)
        if len(item.text.split()) > SHORTEST
    ]


def _topics(senses: list[Gloss]) -> Pieces:
    """Terms of one subject."""
    of = domains(senses)
    subjects = {key: {SUBJECT.get(word, word) for word in words} for key, words in of.items()}
    return [
        Document(sense.key, next(iter(subjects[sense.key])), without_label(sense.definition))
        for sense in senses
        if len(subjects[sense.key]) == 1 and subjects[sense.key] <= set(TASKS["topic"].words)
    ]


def _cut(documents: Iterable[Document], cut: Callable[[str], list[str]]) -> Pieces:
    return [
        Document(f"{document.key}{'.' if '#' in document.key else '#'}{place}", document.group, text)
        for document in documents
        for place, text in enumerate(cut(document.text))
    ]


def _candidates(name: str, pieces: Pieces, rng: np.random.Generator) -> Candidates:
    """Rows of each part by label; parts have whole units, and document follows document."""
    task = TASKS[name]
    labels = {group: label for label, group in enumerate(task.words)}
    documents: dict[str, list[Row]] = {}
    for index in rng.permutation(len(pieces)):
        piece = pieces[index]
        label, text = labels.get(piece.group), passage(piece.text)
        if label is not None and len(text.split()) >= SHORTEST and not says(text, task.answers[label]):
            documents.setdefault(whole(piece.key), []).append(Row(piece.key, text, label))
    for key, rows in documents.items():
        documents[key] = _few(rows, CAPS.get(key.split("/")[0], len(rows)))
    parts = _parts(documents)
    found: Candidates = {part: [[] for _ in labels] for part in SIZES}
    for key, rows in documents.items():
        for row in rows:
            found[parts[_unit(key)]][row.label].append(row)
    return found


def _few(rows: list[Row], most: int) -> list[Row]:
    """The first rows of each label."""
    counts: dict[int, int] = {}
    kept = []
    for row in rows:
        counts[row.label] = counts.get(row.label, 0) + 1
        if counts[row.label] <= most:
            kept.append(row)
    return kept


def _unit(document: str) -> str:
    """What stands in one part as a whole: the novel of a chapter of Austen's, else the document."""
    return document.rsplit("/", 1)[0] if document.startswith("austen/") else document


def _parts(documents: dict[str, list[Row]]) -> dict[str, str]:
    """The part of each unit: among units with the same labels, parts have rows in proportion to their sizes."""
    units: dict[str, list[Row]] = {}
    for key, rows in documents.items():
        units.setdefault(_unit(key), []).extend(rows)
    strata: dict[tuple[int, ...], list[str]] = {}
    for unit, rows in units.items():
        strata.setdefault(tuple(sorted({row.label for row in rows})), []).append(unit)
    shares = np.cumsum(list(SIZES.values())) / sum(SIZES.values())
    found = {}
    for members in strata.values():
        counts = np.array([len(units[unit]) for unit in members])
        middles = (np.cumsum(counts) - counts / 2) / counts.sum()
        for unit, middle in zip(members, middles, strict=True):
            found[unit] = list(SIZES)[int(np.searchsorted(shares, middle))]
    return found
