"""The six tasks: which documents may stand in which part, and which are taken."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np

from clbench_tools.text_mini import clean
from clbench_tools.text_mini.near import distinct
from clbench_tools.text_mini.sources import Collections, Document, glosses

SIZES = {"test": 250, "validation": 200, "train": 800}
"""Rows of each part, in the order in which they are chosen: of two near-duplicates the test part keeps one."""

PROMPTS = {
    "author": "author of the tweet: ",
    "comp": "computer topic: ",
    "rec": "hobby: ",
    "sci": "field of science: ",
    "reuters": "news about: ",
    "nouns": "kind of thing: ",
}
WORDS = {
    "author": {"HillaryClinton": "clinton", "realDonaldTrump": "trump"},
    "comp": {
        "comp.graphics": "graphics",
        "comp.os.ms-windows.misc": "windows",
        "comp.sys.mac.hardware": "mac",
        "comp.windows.x": "x server",
    },
    "rec": {
        "rec.autos": "cars",
        "rec.motorcycles": "motorcycles",
        "rec.sport.baseball": "baseball",
        "rec.sport.hockey": "hockey",
    },
    "sci": {
        "sci.crypt": "encryption",
        "sci.electronics": "electronics",
        "sci.med": "medicine",
        "sci.space": "space",
    },
    "reuters": {
        "acq": "acquisition",
        "crude": "oil",
        "earn": "earnings",
        "grain": "grain",
        "interest": "interest rates",
        "money-fx": "currency",
        "ship": "shipping",
        "trade": "trade",
    },
    "nouns": {
        "animal": "animal",
        "body": "body",
        "feeling": "feeling",
        "food": "food",
        "location": "place",
        "person": "person",
        "plant": "plant",
        "time": "time",
    },
}
"""The answer for each class, as the source names it; the label is its position."""


@dataclass(frozen=True)
class Row:
    """One sample: `document` is the source's key, `text` the input without its prompt."""

    document: str
    text: str
    label: int


Candidates = dict[str, list[list[Row]]]
"""Part to rows by label, in the order in which they are taken."""


def all_candidates(cache: Path, rng: np.random.Generator) -> dict[str, Candidates]:
    """The rows that each part of each task may take; a document is in one part."""
    tables = Collections(cache)
    groups = {part: tables.documents(f"20newsgroups-{part}", "Category", "Text") for part in ("train", "test")}
    wires = {part: tables.documents(f"reuters-r8-{part}", "Category", "Text") for part in ("train", "test")}
    found = {"author": _split("author", tables.tweets(), clean.tweet, rng)}
    for task in ("comp", "rec", "sci"):
        found[task] = _official(task, groups, clean.newsgroup, rng)
    found["reuters"] = _official("reuters", wires, clean.newswire, rng)
    found["nouns"] = _split("nouns", _nouns(cache), str, rng)
    return found


def _nouns(cache: Path) -> list[Document]:
    """Definitions of nouns that do not say the answer themselves."""
    words = WORDS["nouns"]
    return [
        Document(gloss.key, gloss.category, gloss.definition)
        for gloss in glosses(cache)
        if gloss.word_class == "noun" and gloss.category in words and len(gloss.definition.split()) >= 5
        if not re.search(rf"\b{words[gloss.category]}s?\b", gloss.definition)
    ]


def _official(
    task: str, documents: dict[str, list[Document]], clean_up: Callable[[str], str], rng: np.random.Generator
) -> Candidates:
    """Test rows from the source's test part; a fifth of each class of its training part may validate."""
    test, training = (_rows(task, documents[part], clean_up, rng) for part in ("test", "train"))
    cuts = [len(rows) // 5 for rows in training]
    return {
        "test": test,
        "validation": [rows[:cut] for rows, cut in zip(training, cuts, strict=True)],
        "train": [rows[cut:] for rows, cut in zip(training, cuts, strict=True)],
    }


def _split(
    task: str, documents: list[Document], clean_up: Callable[[str], str], rng: np.random.Generator
) -> Candidates:
    """Parts drawn at random where the source has none: a quarter tests, a fifth validates."""
    by_label = _rows(task, documents, clean_up, rng)
    ends = [(len(rows) // 4, len(rows) // 4 + len(rows) // 5) for rows in by_label]
    return {
        "test": [rows[:a] for rows, (a, _) in zip(by_label, ends, strict=True)],
        "validation": [rows[a:b] for rows, (a, b) in zip(by_label, ends, strict=True)],
        "train": [rows[b:] for rows, (_, b) in zip(by_label, ends, strict=True)],
    }


def _rows(
    task: str, documents: Sequence[Document], clean_up: Callable[[str], str], rng: np.random.Generator
) -> list[list[Row]]:
    labels = {group: label for label, group in enumerate(WORDS[task])}
    least = 5 if task == "nouns" else clean.SHORTEST
    by_label: list[list[Row]] = [[] for _ in labels]
    for index in rng.permutation(len(documents)):
        document = documents[index]
        text = clean.passage(clean_up(document.text))
        if document.group in labels and len(text.split()) >= least:
            label = labels[document.group]
            by_label[label].append(Row(document.key, text, label))
    return by_label


def choose(candidates: dict[str, Candidates], rng: np.random.Generator) -> dict[str, dict[str, list[Row]]]:
    """The rows of each part of each task: no two nearly the same in the stream, classes as even as they can be."""
    places = [(part, task) for part in SIZES for task in candidates]
    pool = [
        (part, task, row)
        for part, task in places
        for rows in candidates[task][part]
        for row in rows[: 3 * SIZES[part] // len(rows_of(task))]
    ]
    left: dict[tuple[str, str], list[Row]] = {place: [] for place in places}
    for index in distinct([row.text for _, _, row in pool]):
        part, task, row = pool[index]
        left[part, task].append(row)
    chosen: dict[str, dict[str, list[Row]]] = {task: {} for task in candidates}
    for part, task in places:
        taken = _even(left[part, task], SIZES[part])
        chosen[task][part] = [taken[i] for i in rng.permutation(len(taken))]
    return chosen


def rows_of(task: str) -> list[str]:
    """The answers of a task, by label."""
    return list(WORDS[task].values())


def _even(rows: list[Row], size: int) -> list[Row]:
    """Rows of all classes in turn, until there are enough."""
    labels = sorted({row.label for row in rows})
    turns = zip_longest(*([row for row in rows if row.label == label] for label in labels))
    return [row for turn in turns for row in turn if row is not None][:size]
