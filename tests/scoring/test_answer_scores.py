"""Scores of answers: worked by hand, against other libraries, published values and a NumPy twin."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from rouge_score.rouge_scorer import RougeScorer  # type: ignore[import-untyped]

from clbench.scoring.text.answers import SCORES, without_literal_marks
from clbench.scoring.text.sari import sari_of


def one(name: str, prediction: str, target: str, source: str = "") -> float:
    """The value of one sample."""
    (value,) = SCORES[name]([source], [prediction], [target])
    return float(value)


@pytest.mark.parametrize(
    ("prediction", "target", "right"),
    [
        ("Very Negative.", "very negative", True),
        ("  science or\n technology", "Science or Technology", True),
        ("society  culture", "Society & Culture", True),  # punctuation goes, what is around it joins
        ("positive", "very positive", False),
        ("the positive", "positive", False),  # articles stay
        ("True False", "True", False),
        ("", "True", False),
    ],
)
def test_exact_match_forgets_case_punctuation_and_blanks(prediction: str, target: str, right: bool) -> None:
    assert one("exact_match", prediction, target) == right


@pytest.mark.parametrize(
    ("prediction", "right"), [("A", True), ("a", False), ("A.", False), (" A", False), ("", False)]
)
def test_string_equality_forgets_nothing(prediction: str, right: bool) -> None:
    assert one("string_equality", prediction, "A") == right
    assert one("string_equality", prediction, "A\n") == right  # blanks around what was wanted cannot be written


@pytest.mark.parametrize(
    ("prediction", "right"),
    [("B\nfor other reasons", True), ("B", True), ("A\nBecause", False), ("b", False), ("", False)],
)
def test_the_first_character_decides(prediction: str, right: bool) -> None:
    assert one("first_character", prediction, "B\nBecause it is so.") == right
    assert one("first_character", prediction, " B\nBecause it is so.") == right


def test_rouge_l_worked_by_hand() -> None:
    # the longest common subsequence of six and six words is: the cat on mat
    assert one("rouge_l", "The cat is on a mat!", "the cat sat on the mat") == pytest.approx(2 * 4 / 12)
    assert one("rouge_l", "no word of it", "the cat sat") == 0
    assert one("rouge_l", "The CAT - sat.", "the cat sat") == 1
    assert one("rouge_l", "...", "the cat sat") == 0
    assert one("rouge_l", "...", "!") == 0


WORDS = st.lists(st.sampled_from(["a", "b1", "C", "d.", "é", "-", "f_g"]), max_size=12).map(" ".join)


@given(WORDS, WORDS)
def test_rouge_l_is_that_of_googles_library(prediction: str, target: str) -> None:
    theirs = RougeScorer(["rougeL"]).score(target, prediction)["rougeL"].fmeasure
    assert one("rouge_l", prediction, target) == pytest.approx(theirs)


def test_rouge_1_worked_by_hand() -> None:
    assert one("rouge_1", "The cat is on a mat!", "on the mat the cat sat") == pytest.approx(2 * 4 / 12)
    assert one("rouge_1", "the the the", "the cat") == pytest.approx(2 * 1 / 5)
    assert one("rouge_1", "...", "!") == 0


@given(WORDS, WORDS)
def test_rouge_1_is_that_of_googles_library(prediction: str, target: str) -> None:
    theirs = RougeScorer(["rouge1"]).score(target, prediction)["rouge1"].fmeasure
    assert one("rouge_1", prediction, target) == pytest.approx(theirs)


@pytest.mark.parametrize(
    ("prediction", "right"),
    [
        ("2+2=4, so\n#### 1,200", True),
        ("#### 1200.", True),
        ("#### 1200 apples\n#### 7", True),  # the first one counts
        ("#### 7\n#### 1200", False),
        ("#### -1200", False),
        ("1200", False),  # strict: without the mark it is no answer
        ("####1200", False),
        ("#### $1200", False),  # as the harness's pattern has it
        ("", False),
    ],
)
def test_the_final_number_is_that_of_the_strict_filter(prediction: str, right: bool) -> None:
    assert one("final_number", prediction, "He needs <<600+600=1200>>1200.\n#### 1,200") == right


def test_edit_similarity_worked_by_hand() -> None:
    assert one("edit_similarity", "abxd", "abcd") == pytest.approx(2 * 3 / 8)  # x out, c in
    assert one("edit_similarity", "x = <NUM_LIT:3>", "x = 3") == 1
    assert one("edit_similarity", "<STR_LIT>", "<STR_LIT>") == 0  # nothing is left of it
    assert one("edit_similarity", "", "x") == 0
    # two values that the README of fuzzywuzzy, the library of TRACE, gives in whole percents
    assert round(100 * one("edit_similarity", "this is a test!", "this is a test")) == 97
    assert round(100 * one("edit_similarity", "fuzzy wuzzy was a bear", "wuzzy fuzzy was a bear")) == 91


@given(st.text("abc ", min_size=1, max_size=10), st.text("abc ", min_size=1, max_size=10))
def test_edit_similarity_counts_what_is_not_in_common(prediction: str, target: str) -> None:
    common = np.zeros((len(prediction) + 1, len(target) + 1), dtype=int)
    for i, a in enumerate(prediction):
        for j, b in enumerate(target):
            common[i + 1, j + 1] = common[i, j] + 1 if a == b else max(common[i, j + 1], common[i + 1, j])
    wanted = 2 * common[-1, -1] / (len(prediction) + len(target)) if prediction.strip() else 0
    assert one("edit_similarity", prediction, target) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("code", "plain"),
    [
        ("f ( <STR_LIT> , <NUM_LIT> , <CHAR_LIT> )", "f (  , 0 ,  )"),
        ("f ( '<STR_LIT:a b>' , <NUM_LIT:1.5> )", "f ( 'a b' , 1.5 )"),
        ("<STR_LIT:two\nlines>", "two\nlines"),
        ("<STR_LIT:a> <STR_LIT:a>", "a a"),
        ("<OTHER_LIT:a>", "<OTHER_LIT:a>"),
    ],
)
def test_literals_are_written_out(code: str, plain: str) -> None:
    assert without_literal_marks(code) == plain


def test_sari_has_the_values_that_the_metrics_documentation_and_forum_give() -> None:
    references = ["About 95 species are currently known.", "About 95 species are now accepted."]
    references += ["95 species are now accepted."]
    source, prediction = "About 95 species are currently accepted.", "About 95 you now get in."
    first = sari_of(source, prediction, references)
    assert first == pytest.approx(0.26953601953601954)
    second = sari_of(
        "The cat perched on the mat.",
        "Cat on mat.",
        ["The cat sat on the mat.", "The cat is on the mat.", "The cat sat."],
    )
    assert (first + second) / 2 == pytest.approx(0.2913266517433184)


def test_sari_worked_by_hand() -> None:
    assert one("sari", "a", "a", source="a b") == 1
    # Words: of the kept a and b only a is wanted, F1 of 1/2 and 1; nothing added, nothing deleted: (2/3 + 1 + 1) / 3.
    # Pairs: "a b" is kept and not wanted: (0 + 1 + 1) / 3. Longer ones: there are none, 0/0 is 1.
    assert one("sari", "a b", "a", source="a b") == pytest.approx((8 / 9 + 2 / 3 + 1 + 1) / 4)
    # Words: a should be kept and c should not be added; of the deleted a and b only b is right: (0 + 0 + 1/2) / 3.
    # Pairs: "a b" is rightly deleted: 1.
    assert one("sari", "c", "a", source="a b") == pytest.approx((1 / 6 + 1 + 1 + 1) / 4)
    assert one("sari", "", "a", source="a b") == 0  # though pairs and longer ones would give it something


def numpy_sari(source: str, prediction: str, target: str) -> float:
    """The same from counts in arrays, one entry for each n-gram."""
    return float(
        np.mean([_numpy_order(n, *(text.split() for text in (source, prediction, target))) for n in (1, 2, 3, 4)])
    )


def _numpy_order(n: int, *texts: list[str]) -> float:
    counters = [Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1)) for words in texts]
    grams = sorted(set().union(*counters))
    s, p, t = (np.array([counter[gram] for gram in grams], dtype=float) for counter in counters)

    def share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> float:
        there = whole > 0
        return float((part[there] / whole[there]).mean()) if there.any() else 1.0

    def f1(precision: float, recall: float) -> float:
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0

    kept, wanted, deleted = np.minimum(s, p), np.minimum(s, t), np.maximum(s - p, 0)
    good = np.minimum(kept, t)
    keep = f1(share(good, kept), good.sum() / wanted.sum() if wanted.sum() else 1.0)
    added, addable = ((s == 0) & (p > 0)).astype(float), ((s == 0) & (t > 0)).astype(float)
    add = f1(share(added * addable, added), share(added * addable, addable))
    return (keep + add + share(np.maximum(deleted - t, 0), deleted)) / 3


SHORT = st.lists(st.sampled_from("abcd"), min_size=1, max_size=9).map(" ".join)


@given(SHORT, SHORT, SHORT)
def test_sari_is_that_of_a_numpy_twin(source: str, prediction: str, target: str) -> None:
    assert one("sari", prediction, target, source) == pytest.approx(numpy_sari(source, prediction, target))


TEXT = st.text(max_size=20)


@pytest.mark.parametrize("name", SCORES)
@given(rows=st.lists(st.tuples(TEXT, TEXT, TEXT), max_size=5))
def test_scores_are_one_value_a_sample_between_nothing_and_one(name: str, rows: list[tuple[str, str, str]]) -> None:
    sources, predictions, targets = ([row[i] for row in rows] for i in range(3))
    values = SCORES[name](sources, predictions, targets)
    assert values.shape == (len(rows),)
    assert values.dtype == (np.float64 if SCORES[name].graded else np.bool_)
    assert all(0 <= value <= 1 for value in values.tolist())
    assert not any(value for value, text in zip(values, predictions, strict=True) if not text.strip())


@pytest.mark.parametrize("name", SCORES)
def test_the_target_itself_is_worth_everything(name: str) -> None:
    assert one(name, "Answer 1: x = #### 2.", "Answer 1: x = #### 2.", "What is x? Answer 0: y.") == 1
