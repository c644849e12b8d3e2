"""The pre-training corpus: what is left of the sources, in passages, and pairs of a text and a word for it."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from clbench_tools.text_mini import clean
from clbench_tools.text_mini.sources import Collections
from clbench_tools.text_mini.text_tasks import PROMPTS, WORDS
from clbench_tools.text_rows.corpus_files import Corpus, columns
from clbench_tools.text_rows.near import near_any
from clbench_tools.text_rows.passages import Document, held_out, passages
from clbench_tools.text_rows.rows import Chosen
from clbench_tools.text_rows.wordnet import Gloss, glosses

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


def build_corpus(cache: Path, chosen: Chosen, rng: np.random.Generator) -> Corpus:
    """Everything that is in no part of the stream and not nearly the same as a validation or test row."""
    used = {row.document for parts in chosen.values() for rows in parts.values() for row in rows}
    tested = [row.text for parts in chosen.values() for part in ("validation", "test") for row in parts[part]]
    documents = [document for document in _documents(Collections(cache)) if document.key not in used]
    senses = [gloss for gloss in glosses(cache) if gloss.key not in used and len(gloss.definition.split()) >= 3]
    rows = [row.text for parts in chosen.values() for part in parts.values() for row in part]
    documents = [documents[i] for i in rng.permutation(len(documents))]
    # None are of the series: these passages are published with the package, and its scripts are not free.
    apart, taken = held_out([document for document in documents if document.group != "friends"], rows)
    rest = [document for document in documents if document.key not in taken]
    cut = [(text, document) for document in rest for text in passages(document.text)]
    bad = near_any([text for text, _ in cut], tested + apart)
    cut = [pair for pair, is_bad in zip(cut, bad, strict=True) if not is_bad]
    bad = near_any([gloss.definition for gloss in senses], tested + apart)
    senses = [gloss for gloss, is_bad in zip(senses, bad, strict=True) if not is_bad]
    texts = [(text, "", _source(document.key)) for text, document in cut]
    texts += [(gloss.definition, gloss.lemma.lower(), "wordnet") for gloss in senses]
    pairs = columns([*_topics(cut), *_categories(senses)], "text", "answer", "source")
    return Corpus(texts, pairs, apart)


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
