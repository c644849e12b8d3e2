"""The pre-training corpus: what is left of the sources, in passages, and pairs of a text and a word for it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clbench.core.storage import written_whole
from clbench_tools.text_mini import clean
from clbench_tools.text_mini.near import distinct, near_any
from clbench_tools.text_mini.sources import Collections, Document, Gloss, glosses
from clbench_tools.text_mini.text_tasks import PROMPTS, WORDS, Row

HELD_OUT = 2000
"""Passages that nothing is trained on."""

TOPICS = {
    "alt.atheism": "atheism",
    "comp.sys.ibm.pc.hardware": "hardware",
    "misc.forsale": "for sale",
    "soc.religion.christian": "christianity",
    "talk.politics.guns": "guns",
    "talk.politics.mideast": "middle east",
    "talk.politics.misc": "politics",
    "talk.religion.misc": "religion",
}
"""Words for the newsgroups that no task uses."""


@dataclass(frozen=True)
class Corpus:
    """Rows of the three files.

    Attributes:
        texts: `(text, word, source)`: definitions with the word that they define, passages with an empty word.
        pairs: `(text, answer, source)`: prompted texts of classes that no task has, and the words for the classes.
        held_out: Passages that nothing is trained on.
    """

    texts: list[tuple[str, str, str]]
    pairs: list[tuple[str, str, str]]
    held_out: list[str]


def build_corpus(cache: Path, chosen: dict[str, dict[str, list[Row]]], rng: np.random.Generator) -> Corpus:
    """Everything that is in no part of the stream and not nearly the same as a validation or test row."""
    used = {row.document for parts in chosen.values() for rows in parts.values() for row in rows}
    tested = [row.text for parts in chosen.values() for part in ("validation", "test") for row in parts[part]]
    documents = [document for document in _documents(Collections(cache)) if document.key not in used]
    senses = [gloss for gloss in glosses(cache) if gloss.key not in used and len(gloss.definition.split()) >= 3]
    rows = [row.text for parts in chosen.values() for part in parts.values() for row in part]
    held_out, rest = _held_out([documents[i] for i in rng.permutation(len(documents))], rows)
    cut = [(text, document) for document in rest for text in clean.passages(document.text)]
    bad = near_any([text for text, _ in cut], tested + held_out)
    cut = [pair for pair, is_bad in zip(cut, bad, strict=True) if not is_bad]
    bad = near_any([gloss.definition for gloss in senses], tested + held_out)
    senses = [gloss for gloss, is_bad in zip(senses, bad, strict=True) if not is_bad]
    texts = [(text, "", _source(document.key)) for text, document in cut]
    texts += [(gloss.definition, gloss.lemma.lower(), "wordnet") for gloss in senses]
    return Corpus(texts, [*_topics(cut), *_categories(senses)], held_out)


def _documents(tables: Collections) -> list[Document]:
    """All documents, cleaned; Reuters R8 is a part of R52, so of R52 only the other classes are taken."""
    found: list[Document] = []
    for part in ("train", "test"):
        found += _cleaned(tables.documents(f"20newsgroups-{part}", "Category", "Text"), clean.newsgroup)
        found += _cleaned(tables.documents(f"reuters-r8-{part}", "Category", "Text"), clean.newswire)
        others = tables.documents(f"reuters-r52-{part}", "Category", "Text")
        found += _cleaned((d for d in others if d.group not in WORDS["reuters"]), clean.newswire)
    found += _cleaned(tables.tweets(), clean.tweet) + tables.episodes()
    found += tables.documents("grimm-tales", "Title", "Content") + tables.documents("andersen", "Title", "Content")
    return found + tables.documents("book-excerpts", "Category", "Text")


def _cleaned(documents: Iterable[Document], clean_up: Callable[[str], str]) -> list[Document]:
    return [Document(document.key, document.group, clean_up(document.text)) for document in documents]


def _held_out(documents: list[Document], rows: list[str]) -> tuple[list[str], list[Document]]:
    """Whole passages of the first documents, and the documents that are left.

    None are of the series: these passages are published with the package, and its scripts are not free.
    """
    texts: list[str] = []
    taken: set[str] = set()
    for document in documents:
        full = [text for text in clean.passages(document.text) if len(text.split()) == clean.WORDS]
        if full and len(texts) < HELD_OUT * 1.15 and document.group != "friends":
            taken.add(document.key)
            texts += full
    texts = [texts[i] for i in distinct(texts)]
    kept = [text for text, bad in zip(texts, near_any(texts, rows), strict=True) if not bad][:HELD_OUT]
    return kept, [document for document in documents if document.key not in taken]


def _source(key: str) -> str:
    return key.split("/", 1)[0].removesuffix("-train").removesuffix("-test")


def _topics(cut: list[tuple[str, Document]]) -> list[tuple[str, str, str]]:
    """Passages of classes that no task has, with the words for their classes."""
    pairs = []
    for text, document in cut:
        source = _source(document.key)
        if document.group in TOPICS:
            pairs.append((f"topic: {text}", TOPICS[document.group], source))
        elif source == "reuters-r52":
            pairs.append((PROMPTS["reuters"] + text, document.group.replace("-", " "), source))
    return pairs


def _categories(senses: list[Gloss]) -> list[tuple[str, str, str]]:
    """Definitions with the category of the word they define, where no task has it."""
    pairs = []
    for gloss in senses:
        if gloss.word_class == "noun" and gloss.category not in {*WORDS["nouns"], "top"}:
            pairs.append((PROMPTS["nouns"] + gloss.definition, gloss.category, "wordnet"))
        elif gloss.word_class == "verb":
            pairs.append((f"kind of action: {gloss.definition}", gloss.category, "wordnet"))
    return pairs


def save_corpus(corpus: Corpus, cache: Path, held_out: Path) -> None:
    """Write `corpus.parquet`, `pairs.parquet` and `labels.txt` (every answer) into the cache, and the held-out text."""
    _write(cache / "corpus.parquet", _columns(corpus.texts, "text", "word", "source"))
    _write(cache / "pairs.parquet", _columns(corpus.pairs, "text", "answer", "source"))
    _write(held_out, {"text": corpus.held_out})
    answers = dict.fromkeys(answer for words in WORDS.values() for answer in words.values())
    with written_whole(cache / "labels.txt") as aside:
        aside.write_text("\n".join(answers) + "\n", encoding="utf-8")


def _columns(rows: list[tuple[str, str, str]], *names: str) -> dict[str, list[str]]:
    return {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def _write(path: Path, columns: dict[str, list[str]]) -> None:
    with written_whole(path) as aside:
        pq.write_table(pa.table(columns), aside, compression="zstd")
