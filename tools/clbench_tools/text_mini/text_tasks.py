"""The six tasks: which documents may stand in which part, and which are taken."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from clbench_tools.text_mini import clean
from clbench_tools.text_mini.sources import Collections
from clbench_tools.text_rows.passages import SHORTEST, Document, passage
from clbench_tools.text_rows.rows import Candidates, Row, Task
from clbench_tools.text_rows.wordnet import glosses

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


TASKS = {name: Task(prompt, WORDS[name]) for name, prompt in PROMPTS.items()}


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
    least = 5 if task == "nouns" else SHORTEST
    by_label: list[list[Row]] = [[] for _ in labels]
    for index in rng.permutation(len(documents)):
        document = documents[index]
        text = passage(clean_up(document.text))
        if document.group in labels and len(text.split()) >= least:
            label = labels[document.group]
            by_label[label].append(Row(document.key, text, label))
    return by_label
