"""The corpus as token ids, with the teacher's embeddings and the words that follow from them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from tokenizers import Tokenizer

from clbench_tools.pretraining.mini_text.choices import with_choices
from clbench_tools.pretraining.mini_text.corpus import Ids, encode
from clbench_tools.pretraining.mini_text.teacher import Floats, embed

PASSAGES, GLOSSES = 36_000, 40_000
"""Passages and definitions of the corpus that are embedded and used."""
NEAR = 6
"""Candidate topic words of a passage."""
NAME, DEFINE = "topic word: ", "word for: "
"""Prompts of the two tasks whose answers come from the teacher and from WordNet."""


@dataclass(frozen=True)
class TeacherTargets:
    """Token ids `(n, width)` without special tokens, padded with 0, and embeddings `(n, 384)`.

    Attributes:
        passages: Plain text.
        named: The same passages after the prompt that asks for a topic word.
        near: Words near a passage in the teacher's space `(n, 6)`.
        near_cdf: Their cumulative probabilities `(n, 6)`.
        defined: Definitions after their prompt.
        words: The defined words.
        pairs: Prompted texts of classes that no task has.
        answers: Their answers.
        pair_cdf: Cumulative weights by which pairs are drawn; not normalised.
        of_passages: The teacher's embeddings of passages.
        of_glosses: The teacher's embeddings of definitions.
    """

    passages: Ids
    named: Ids
    near: Ids
    near_cdf: Floats
    defined: Ids
    words: Ids
    pairs: Ids
    answers: Ids
    pair_cdf: Floats
    of_passages: Floats
    of_glosses: Floats


def read_teacher_targets(
    folder: Path, teacher: Path, tokenizer: Tokenizer, width: int, choices: float = 0.0
) -> tuple[TeacherTargets, Floats]:
    """Read the corpus and compute the teacher's targets; embeddings are kept in `folder/teacher_embeddings.npz`.

    Args:
        folder: With `corpus.parquet` and `pairs.parquet`.
        teacher: Folder of all-MiniLM-L6-v2.
        tokenizer: Of the student.
        width: Tokens of an input.
        choices: Share of pairs and definitions that name possible answers (`with_choices`), for pairs those of the
            column `options`, for definitions the words of others.

    Returns:
        The targets, and the teacher's embeddings of the vocabulary `(entries, 384)`.
    """
    rows = pq.read_table(folder / "corpus.parquet").to_pydict()
    is_word = np.array([bool(word) for word in rows["word"]])
    rng = np.random.default_rng(0)
    chosen = rng.permutation(np.flatnonzero(~is_word))[:PASSAGES]
    glosses = rng.permutation(np.flatnonzero(is_word))[:GLOSSES]
    passages, definitions = ([rows["text"][i] for i in part] for part in (chosen, glosses))
    entries = [tokenizer.id_to_token(i) or "" for i in range(tokenizer.get_vocab_size())]
    path = folder / "teacher_embeddings.npz"
    if not path.exists():
        named = [entry.removeprefix("##") for entry in entries]
        of_words, of_passages, of_glosses = (
            embed(teacher, texts).astype(np.float16) for texts in (named, passages, definitions)
        )
        np.savez(path, words=of_words, passages=of_passages, glosses=of_glosses)
    kept = {name: array.astype(np.float32) for name, array in np.load(path, allow_pickle=False).items()}
    plain = encode(tokenizer, passages, width)[0]
    near, near_cdf = nearest_words(kept["passages"], kept["words"], entries, plain)
    pairs = pq.read_table(folder / "pairs.parquet").to_pydict()
    _, kind, count = np.unique(np.array(pairs["answer"]), return_inverse=True, return_counts=True)
    asked, answers = [DEFINE + text for text in definitions], [rows["word"][i] for i in glosses]
    if choices:
        others = rng.integers(len(answers), size=(len(answers), 8))
        asked = _some_with_choices(asked, answers, [[answers[i] for i in row] for row in others], choices, rng)
        pairs["text"] = _some_with_choices(pairs["text"], pairs["answer"], pairs["options"], choices, rng)
    targets = TeacherTargets(
        passages=plain,
        named=encode(tokenizer, [NAME + text for text in passages], width)[0],
        near=near,
        near_cdf=near_cdf,
        defined=encode(tokenizer, asked, width)[0],
        words=encode(tokenizer, answers, 6)[0],
        pairs=encode(tokenizer, pairs["text"], width)[0],
        answers=encode(tokenizer, pairs["answer"], 6)[0],
        pair_cdf=np.cumsum(1 / np.sqrt(count[kind])).astype(np.float32),
        of_passages=kept["passages"],
        of_glosses=kept["glosses"],
    )
    return targets, kept["words"]


def _some_with_choices(
    texts: list[str], answers: list[str], kinds: list[list[str]], share: float, rng: np.random.Generator
) -> list[str]:
    named = with_choices(texts, answers, kinds, rng)
    return [new if draw < share else old for old, new, draw in zip(texts, named, rng.random(len(texts)), strict=True)]


def nearest_words(passages: Floats, words: Floats, entries: list[str], ids: Ids) -> tuple[Ids, Floats]:
    """The words nearest to each passage in the teacher's space `(n, 6)`, and their cumulative softmax `(n, 6)`.

    Words and passages are centred, because otherwise some words are near to everything. Rare words, very common words
    and pieces of words are left out.

    Args:
        passages: Embeddings `(n, 384)`.
        words: Embeddings of the vocabulary `(entries, 384)`.
        entries: The vocabulary.
        ids: Token ids of the passages `(n, width)`.
    """
    frequency = np.bincount(ids.ravel(), minlength=len(entries))
    whole = np.array([entry.isalpha() and len(entry) > 2 for entry in entries])
    allowed = np.flatnonzero(whole & (frequency >= 3) & (frequency < 0.04 * len(ids)))
    candidates, texts = _unit(words[allowed] - words[allowed].mean(0)), _unit(passages - passages.mean(0))
    near, weight = np.zeros((len(texts), NEAR), np.int32), np.zeros((len(texts), NEAR), np.float32)
    for start in range(0, len(texts), 2000):
        scores = texts[start : start + 2000] @ candidates.T
        best = np.argpartition(-scores, NEAR, axis=1)[:, :NEAR]
        near[start : start + 2000] = allowed[best]
        weight[start : start + 2000] = np.take_along_axis(scores, best, 1)
    weight = np.exp((weight - weight.max(axis=1, keepdims=True)) / 0.04)
    return near, np.cumsum(weight / weight.sum(axis=1, keepdims=True), axis=1)


def _unit(vectors: Floats) -> NDArray[np.float32]:
    result: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return result
