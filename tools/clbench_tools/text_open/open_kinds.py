"""Kinds of WordNet's senses: by the subject that they belong to, and by what they are below of."""

import re
from collections.abc import Iterable, Mapping

from clbench_tools.text_rows.wordnet import Gloss

DOMAIN = ";c"
KINDS_OF = ("@", "@i")
"""Pointers from a term to its subject, from a noun to what it is a kind or an instance of."""


def domains(senses: Iterable[Gloss]) -> dict[str, set[str]]:
    """The subjects that each sense belongs to, as the first word of the subject."""
    senses = list(senses)
    words = {sense.key: sense.lemma for sense in senses}
    return {sense.key: {words[key] for symbol, key in sense.pointers if symbol == DOMAIN} for sense in senses}


def below(senses: Iterable[Gloss], roots: Mapping[str, str], category: str) -> dict[str, set[str]]:
    """Words for what each sense is a kind of.

    Args:
        senses: All of WordNet.
        roots: Words, each with the lemmas (`,` between two) whose kinds it stands for.
        category: Of the roots.
    """
    senses = list(senses)
    children: dict[str, list[str]] = {}
    for sense in senses:
        for symbol, key in sense.pointers:
            if symbol in KINDS_OF:
                children.setdefault(key, []).append(sense.key)
    found: dict[str, set[str]] = {}
    for word, lemmas in roots.items():
        names = lemmas.split(",")
        todo = [s.key for s in senses if s.word_class == "noun" and s.category == category and s.lemma in names]
        while todo:
            key = todo.pop()
            if word not in found.setdefault(key, set()):
                found[key].add(word)
                todo += children.get(key, [])
    return found


def without_label(definition: str) -> str:
    """A definition without the subject or use in brackets that it begins with, and without brackets with years."""
    text = re.sub(r"^(?:\([^)]*\)\s*)+", "", definition)
    return re.sub(r"\s*\(\s*[^()]*\d{3,4}[^()]*\)", "", text).strip(" ;")


def says(text: str, answer: str) -> bool:
    """Whether a text has the answer, in the singular or the plural."""
    return re.search(rf"\b{re.escape(answer.removesuffix('s'))}s?\b", text, re.IGNORECASE) is not None
