"""Scores of written answers: one number or truth value per sample, as the benchmarks define them.

Scores take the whole input (`_source` where it is not used), the prediction and the target. An empty prediction scores
0 under every one of them, even if a formula would give it more.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clbench.scoring.text.sari import sari_of

Score = Callable[[str, str, str], float]
"""A function of (source, prediction, target); source is the whole input, prompt included."""

WORDS = re.compile(r"[a-z0-9]+")
PUNCTUATION = str.maketrans("", "", string.punctuation)
MARKED_NUMBER = re.compile(r"#### (-?[0-9.,]+)")
LITERAL = re.compile(r"<(STR|NUM|CHAR)_LIT:(.*?)>", re.DOTALL)


@dataclass(frozen=True)
class AnswerScore:
    """A score of answers; higher is better.

    Attributes:
        of: Gives the value of one sample, whose prediction is not empty.
        graded: Whether values are numbers in [0, 1]; otherwise an answer is right or wrong.
    """

    of: Score
    graded: bool = False

    def __call__(
        self, sources: Sequence[str], predictions: Sequence[str], targets: Sequence[str]
    ) -> NDArray[np.float64] | NDArray[np.bool_]:
        """Values of n samples.

        Args:
            sources: Whole inputs, prompts included.
            predictions: Answers of the model.
            targets: True answers.

        Returns:
            `(n,)`, float64 if the score is graded, else bool.
        """
        found = [
            self.of(source, prediction, target) if prediction.strip() else 0.0
            for source, prediction, target in zip(sources, predictions, targets, strict=True)
        ]
        kind: Any = np.float64 if self.graded else np.bool_
        return np.asarray(found, dtype=kind)


def exact_match(_source: str, prediction: str, target: str) -> float:
    """Equality without case, ASCII punctuation and surplus blanks (as O-LoRA; articles stay, unlike in SQuAD).

    Args:
        _source: The whole input; not used.
        prediction: The model's answer, not empty.
        target: The true answer.
    """
    return _plain(prediction) == _plain(target)


def string_equality(_source: str, prediction: str, target: str) -> float:
    """Equality without surrounding blanks (TRACE's accuracy).

    Args:
        _source: The whole input; not used.
        prediction: The model's answer, not empty.
        target: The true answer.
    """
    return prediction == target.strip()


def first_character(_source: str, prediction: str, target: str) -> float:
    """Equality of the first characters (TRACE's accuracy on ScienceQA: the letter before the reasons).

    Args:
        _source: The whole input; not used.
        prediction: The model's answer, not empty.
        target: The true answer.
    """
    return prediction[0] == target.strip()[:1]


def rouge_l(_source: str, prediction: str, target: str) -> float:
    """ROUGE-L: F1 of the longest common subsequence of words (Lin 2004), as Google's `rouge-score` counts it.

    Words are runs of a-z and 0-9 after lower-casing, not stemmed. TRACE's code calls the package `rouge`, which counts
    each word once and splits at every full stop; docs/text_sequences.md has figures of both.

    Args:
        _source: The whole input; not used.
        prediction: The model's answer, not empty.
        target: The true answer.
    """
    from rapidfuzz.distance import LCSseq

    words, wanted = WORDS.findall(prediction.lower()), WORDS.findall(target.lower())
    both = len(words) + len(wanted)
    return 2 * LCSseq.similarity(words, wanted) / both if both else 0.0


def rouge_1(_source: str, prediction: str, target: str) -> float:
    """ROUGE-1: F1 of the words (Lin 2004), as Google's `rouge-score` counts it; words as in `rouge_l`, not stemmed.

    Args:
        _source: The whole input; not used.
        prediction: The model's answer, not empty.
        target: The true answer.
    """
    words, wanted = (Counter(WORDS.findall(text.lower())) for text in (prediction, target))
    both = words.total() + wanted.total()
    return 2 * (words & wanted).total() / both if both else 0.0


def final_number(_source: str, prediction: str, target: str) -> float:
    """Equality of the numbers behind `####` (GSM8K), as in the filter `strict-match` of lm-evaluation-harness.

    The first such number of the prediction counts, without commas, dollar signs and a final full stop.

    Args:
        _source: The whole input; not used.
        prediction: The model's answer, not empty.
        target: The true answer.
    """
    found = MARKED_NUMBER.search(prediction)
    return found is not None and _bare(found[1]) == _bare(target.rpartition("#### ")[2].strip())


def edit_similarity(_source: str, prediction: str, target: str) -> float:
    """1 minus the share of characters that must be deleted or inserted, on code with its literals written out.

    TRACE's score of Py150: fuzzywuzzy's `ratio`, here not rounded to whole percents.

    Args:
        _source: The whole input; not used.
        prediction: The model's answer, not empty.
        target: The true answer.
    """
    from rapidfuzz import fuzz

    code, wanted = without_literal_marks(prediction), without_literal_marks(target)
    return fuzz.ratio(code, wanted) / 100 if code and wanted else 0.0


def sari(source: str, prediction: str, target: str) -> float:
    """SARI with one reference (Xu et al. 2016); see `clbench.scoring.text.sari`. TRACE's score of 20Minuten.

    Args:
        source: The whole input.
        prediction: The model's answer, not empty.
        target: The true answer.
    """
    return sari_of(source, prediction, [target])


def without_literal_marks(code: str) -> str:
    """Code with Py150's marks (`<STR_LIT:abc>`, `<NUM_LIT>`) replaced by literals, as in CodeXGLUE and TRACE."""
    code = code.replace("<NUM_LIT>", "0").replace("<STR_LIT>", "").replace("<CHAR_LIT>", "")
    for kind, literal in LITERAL.findall(code):
        code = code.replace(f"<{kind}_LIT:{literal}>", literal)
    return code


def _bare(number: str) -> str:
    return number.replace(",", "").replace("$", "").removesuffix(".").lower()


def _plain(text: str) -> str:
    return " ".join(text.lower().translate(PUNCTUATION).split())


SCORES: Mapping[str, AnswerScore] = MappingProxyType(
    {
        "exact_match": AnswerScore(exact_match),
        "string_equality": AnswerScore(string_equality),
        "first_character": AnswerScore(first_character),
        "final_number": AnswerScore(final_number),
        "rouge_1": AnswerScore(rouge_1, graded=True),
        "rouge_l": AnswerScore(rouge_l, graded=True),
        "edit_similarity": AnswerScore(edit_similarity, graded=True),
        "sari": AnswerScore(sari, graded=True),
    }
)
"""Scores by the name in a task's `metric`."""
