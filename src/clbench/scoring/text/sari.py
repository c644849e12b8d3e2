"""SARI: how well a simplification adds, keeps and deletes words (Xu et al. 2016)."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeAlias

ORDER = 4
"""Longest n-grams that are compared."""

Grams: TypeAlias = Counter[tuple[str, ...]]


def sari_of(source: str, prediction: str, references: Sequence[str]) -> float:
    """Mean over n-grams of 1 to 4 words of F1 of what is kept, F1 of what is added and precision of what is deleted.

    Texts are lower-cased and split as sacrebleu's tokenizer `13a` does. As in the metric `sari` of Hugging Face's
    `evaluate`, whose figures TRACE reports, and unlike in the paper's own code, 0 / 0 is 1, and the recall of what is
    kept counts every occurrence.

    Args:
        source: The text to simplify.
        prediction: The model's simplification.
        references: Reference simplifications, at least one.

    Returns:
        A score in [0, 1]; 1 if the prediction equals the only reference.
    """
    texts = [_words(text) for text in (source, prediction, *references)]
    return sum(_order_score([_grams(words, n) for words in texts]) for n in range(1, ORDER + 1)) / ORDER


def _order_score(grams: Sequence[Grams]) -> float:
    """The score for one length of n-grams, given those of the source, the prediction and each reference."""
    source, prediction, *references = grams
    count = len(references)
    wanted = sum(references, Grams())
    # Source and prediction are compared with all references at once, so their n-grams count once per reference.
    source = Grams({gram: number * count for gram, number in source.items()})
    prediction = Grams({gram: number * count for gram, number in prediction.items()})
    scores = [part(source, prediction, wanted) for part in (_kept, _added, _deleted)]
    return sum(scores) / 3


def _kept(source: Grams, prediction: Grams, wanted: Grams) -> float:
    kept, keepable = source & prediction, source & wanted
    good = kept & wanted
    precision = _ratio(sum(number / kept[gram] for gram, number in good.items()), len(kept))
    return _f1(precision, _ratio(good.total(), keepable.total()))


def _deleted(source: Grams, prediction: Grams, wanted: Grams) -> float:
    """Precision only, as in the paper: deleting too much hurts a reader more than deleting too little."""
    deleted = source - prediction
    good = deleted - wanted
    return _ratio(sum(number / deleted[gram] for gram, number in good.items()), len(deleted))


def _added(source: Grams, prediction: Grams, wanted: Grams) -> float:
    added, addable = prediction.keys() - source.keys(), wanted.keys() - source.keys()
    good = len(added & wanted.keys())
    return _f1(_ratio(good, len(added)), _ratio(good, len(addable)))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 1.0


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _grams(words: Sequence[str], n: int) -> Grams:
    return Grams(zip(*(words[start:] for start in range(n)), strict=False))


def _words(text: str) -> list[str]:
    return _tokenizer()(text.lower()).split(" ")


@cache  # the tokenizer caches its results, so sources and references are split once for all versions of a model
def _tokenizer() -> Callable[[str], str]:
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    tokenizer: Callable[[str], str] = Tokenizer13a()  # type: ignore[no-untyped-call]
    return tokenizer
