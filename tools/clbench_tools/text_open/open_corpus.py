"""The pre-training corpus: what is left of the sources, in passages, definitions and pairs."""

from bisect import insort
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np

from clbench_tools.text_open import books, references
from clbench_tools.text_open.bible import bible_chapters
from clbench_tools.text_open.open_pairs import Pair, definition_pairs, passage_pairs
from clbench_tools.text_open.tidy import tidy
from clbench_tools.text_open.webster import Definition, definitions
from clbench_tools.text_rows.corpus_files import Corpus, columns
from clbench_tools.text_rows.near import near_any
from clbench_tools.text_rows.passages import WORDS, Document, held_out, passages, whole
from clbench_tools.text_rows.rows import Chosen
from clbench_tools.text_rows.wordnet import Gloss, glosses

READERS = (
    books.austen,
    books.melville,
    books.shakespeare,
    books.milton,
    books.bierce,
    books.henry,
    books.spurgeon,
    bible_chapters,
    references.profiles,
    references.speeches,
    references.jargon,
    references.rules,
)
LONGEST = 5000
"""Words of a document of held-out passages: longer ones would fill all of them."""
LEAST = 3
"""Words of a definition."""
MOST = 5000
"""Pairs of one prompt and answer."""

Item = TypeVar("Item")


def build_corpus(cache: Path, chosen: Chosen, rng: np.random.Generator) -> Corpus:
    """Everything of no document of the stream, and not nearly the same as a validation or test row."""
    used = {row.document for parts in chosen.values() for rows in parts.values() for row in rows}
    tested = [row.text for parts in chosen.values() for part in ("validation", "test") for row in parts[part]]
    rows = [row.text for parts in chosen.values() for part in parts.values() for row in part]
    documents = [document for document in _documents(cache) if whole(document.key) not in used]
    documents = [documents[i] for i in rng.permutation(len(documents))]
    apart, taken = held_out([document for document in documents if len(document.text.split()) <= LONGEST], rows)
    countries = {whole(key) for key in taken}
    cut = _passages([document for document in documents if whole(document.key) not in countries])
    cut = _clear(cut, [text for text, _ in cut], tested + apart)
    senses = [sense for sense in glosses(cache) if sense.key not in used and _long(sense.definition)]
    senses = _clear(senses, [sense.definition for sense in senses], tested + apart)
    old = [_short(item) for item in definitions(cache) if whole(item.key) not in used and _long(item.text)]
    old = _clear(old, [item.text for item in old], tested + apart)
    texts = [(text, "", document.key.split("/", 1)[0]) for text, document in cut]
    texts += [(sense.definition, sense.lemma.lower(), "wordnet") for sense in senses]
    texts += [(item.text, item.word, "webster") for item in old]
    pairs = [*passage_pairs(cut), *_definition_pairs(cache, senses, old)]
    pairs = _clear(pairs, [pair.text for pair in pairs], tested + apart)
    return Corpus(texts, _with_options(pairs), apart)


def _documents(cache: Path) -> Iterator[Document]:
    for document in chain.from_iterable(reader(cache) for reader in READERS):
        yield Document(document.key, document.group, tidy(document.text))


def _passages(documents: list[Document]) -> list[tuple[str, Document]]:
    """Passages with their documents; equal ones stand once."""
    found: dict[str, Document] = {}
    for document in documents:
        for text in passages(document.text):
            found.setdefault(text, document)
    return list(found.items())


def _clear(items: Sequence[Item], texts: list[str], others: list[str]) -> list[Item]:
    """The items whose texts are not nearly the same as any of the others."""
    return [item for item, bad in zip(items, near_any(texts, others), strict=True) if not bad]


def _long(text: str) -> bool:
    return len(text.split()) >= LEAST


def _short(item: Definition) -> Definition:
    return replace(item, text=" ".join(item.text.split()[:WORDS]))


def _definition_pairs(cache: Path, senses: list[Gloss], old: list[Definition]) -> list[Pair]:
    """Pairs of the senses that are left; kinds are looked up in all senses."""
    left = {sense.key for sense in senses}
    return [pair for pair in definition_pairs(glosses(cache), old) if pair.key in left or pair.source == "webster"]


def _with_options(pairs: list[Pair]) -> dict[str, Sequence[object]]:
    """Columns; the options of a pair are all answers of its prompt. An answer has at most `MOST` pairs."""
    options: dict[str, list[str]] = {}
    counts: Counter[tuple[str, str]] = Counter()
    rows = []
    for pair in pairs:
        counts[pair.prompt, pair.answer] += 1
        words = options.setdefault(pair.prompt, [])
        if pair.answer not in words:
            insort(words, pair.answer)
        if counts[pair.prompt, pair.answer] <= MOST:
            rows.append((pair.prompt + pair.text, pair.answer, pair.source, words))
    return columns(rows, "text", "answer", "source", "options")
