"""Sample logs of every kind of lm-evaluation-harness: read as the harness scored them, or refused for the reason."""

import json
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from tests.reports.flips.sample_logs import (
    NEWEST,
    OLD,
    RELEASES,
    Question,
    Release,
    Row,
    Said,
    choice_row,
    gold_of,
    picked,
    row,
    write,
)

from clbench.core.errors import ClbenchError, DataError
from clbench.reports.flips.comparison import Comparison, compare
from clbench.reports.flips.comparison_json import to_dict
from clbench.reports.flips.comparison_tables import worst_lines
from clbench.reports.flips.flips_page import write_page
from clbench.reports.flips.inputs import InputOptions, load_predictions
from clbench.reports.flips.predictions import Predictions

METRICS = ("acc", "acc_norm", "acc_bytes", "acc_mutual_info")
DELIMITERS = (" ", "", "\n", "\n\n", ": ")
NAME = "samples_x_2026-11-24T00-10-44.335100.jsonl"
UNTIL = {"until": ["\n"], "do_sample": False}
GSM8K = "How many?"
Log = tuple[Release, str, str, list[Question], list[Said]]


def read(path: Path, metric: str | None = None, chosen: str | None = None, other: Path = Path()) -> Predictions:
    folder = path.parent / f"read-{path.stem}"
    folder.mkdir(exist_ok=True)
    return load_predictions(str(path), InputOptions(chosen, metric, "", ""), folder, str(other))


def ledger(rows: Predictions) -> list[Row]:
    assert isinstance(rows.source, Path)
    return [json.loads(line) for line in rows.source.read_text("utf-8").splitlines()]


def attempt(path: Path, metric: str | None = None) -> tuple[Predictions | None, str]:
    """What was read, or the one line that says why it was not."""
    try:
        return read(path, metric), ""
    except ClbenchError as error:
        reason = str(error)
    assert len(reason.splitlines()) == 1
    return None, reason


def compared(paths: Sequence[Path], metric: str | None = None, chosen: str | None = None) -> Comparison:
    old, new = paths
    return compare(read(old, metric, chosen, new), read(new, metric, chosen, old))


def written(number: int, prompt: str, answer: object, target: str, scores: dict[str, Any], **more: Any) -> Row:
    """A row of a generation."""
    return row(more.pop("release", NEWEST), number, {"q": prompt}, target, [[prompt, UNTIL]], [answer], scores, **more)


likelihood = st.integers(-400, -1).map(lambda number: number / 16)
word = st.sampled_from(["a", "be", "sea", "do re", "2", "0", "1", "10", "é", "東京", " x", "yes", "no way at all"])


@st.composite
def logs(draw: st.DrawFn) -> Log:
    release = draw(st.sampled_from(RELEASES))
    delimiter, metric = draw(st.sampled_from(DELIMITERS)), draw(st.sampled_from(METRICS))
    informative, kind = draw(st.booleans()), draw(st.sampled_from(["number", "text", "several"]))
    questions, answers = [], []
    for number in range(draw(st.integers(1, 5))):
        choices = draw(st.lists(word, min_size=2, max_size=4, unique=True))
        index, n = draw(st.integers(0, len(choices) - 1)), len(choices)
        gold: int | str | list[int] = index if kind == "number" else choices[index]
        if kind == "several" and metric != "acc_mutual_info":  # of which the harness makes an error
            gold = draw(st.lists(st.integers(0, n - 1), min_size=1, unique=True))
        doc = {"question": f"which {number}?", **({"options": {"text": choices}} if informative else {})}
        questions.append(Question(number, doc, f"Q: which {number}?\nA:", choices, gold))
        answers.append(Said(*draw(st.tuples(*[st.lists(likelihood, min_size=n, max_size=n)] * 2))))
    return release, delimiter, metric, questions, answers


@settings(deadline=None, max_examples=600)
@given(logs())
def test_choices_are_those_of_the_harness_or_refused(log: Log) -> None:
    release, delimiter, metric, questions, answers = log
    metrics = [metric] if metric == "acc_mutual_info" else list(METRICS[:3])
    rows = [choice_row(release, q, said, delimiter, metrics) for q, said in zip(questions, answers, strict=True)]
    mispaired = release.mutual == "wrong" and metric == "acc_mutual_info"
    with tempfile.TemporaryDirectory() as folder:
        made, refused = attempt(write(release, Path(folder) / NAME, rows), metric)
        found = ledger(made) if made else []
    if refused:
        event(f"refused: {metric}")
        assert mispaired or (metric in ("acc_norm", "acc_bytes") and "options" not in questions[0].doc), refused
        return
    event(f"read: {metric}")
    found.sort(key=lambda got: int(got["sample_id"].split()[0]))  # those with choices of unknown length come last
    for question, said, got in zip(questions, answers, found, strict=True):
        right, chosen = gold_of(question), picked(metric, question, said.likelihoods, said.alone)
        named = [f"{index}: {(delimiter + choice).lstrip()}" for index, choice in enumerate(question.choices)]
        assert got["text"] == question.prompt
        assert got["target"] in {str(question.gold), *(named[right] for right in [right] if isinstance(right, int))}
        if not mispaired:
            assert got["prediction"] == named[chosen]
            assert got["correct"] == (chosen in right if isinstance(right, list) else chosen == right)


letters = st.text(st.one_of(st.characters(), st.sampled_from('\ud83d\udc00\x00\n\u2028"\\ é')), max_size=8)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_written_answers_come_back_whatever_is_in_them(data: st.DataObject) -> None:
    release = data.draw(st.sampled_from(RELEASES))
    filters = data.draw(st.sampled_from([["none"], ["strict", "flexible"], ["maj@2", "score-first", "none"]]))
    kept, graded = data.draw(st.integers(1, 3)), data.draw(st.booleans())
    score = st.sampled_from([0.0, 0.25, 1.0]) if graded else st.sampled_from([0.0, 1.0])
    chosen = data.draw(st.sampled_from(filters))
    rows, wanted = [], {}
    for name in filters:
        for number in range(3):
            generations = data.draw(st.lists(letters, min_size=kept, max_size=kept))
            value, target = data.draw(score), data.draw(letters)
            answer = generations[0] if kept == 1 else generations
            scores = {"bleu": [target, "x"], "exact_match": value}
            rows.append(written(number, "Q", answer, target, scores, release=release, chosen=name))
            wanted[name, number] = (generations, target, value)
    with tempfile.TemporaryDirectory() as folder:
        path = write(release, Path(folder) / NAME, rows, ascii_only=True)
        if len(filters) > 1 and not release.filtered:
            with pytest.raises(DataError, match="does not name its filters"):
                read(path)
            return
        rows_read = read(path, None, chosen if len(filters) > 1 else None)
        found = ledger(rows_read)
    expected = [wanted[chosen, number] for number in range(3)]
    for got, (generations, target, value) in zip(found, expected, strict=True):
        assert got["target"] == escaped(target)
        if kept == 1:
            assert got["prediction"] == escaped(generations[0])
        else:
            assert json.loads(got["prediction"]) == generations
        assert (got["score"], got["correct"]) == (value, None if value == 0.25 else bool(value))
    assert rows_read.graded == any(value == 0.25 for _, _, value in expected)


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(c):04x}" if "\ud800" <= c <= "\udfff" else c for c in text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | letters | st.just(10**400),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(letters, inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=500)
@given(st.data())
def test_whatever_stands_in_a_row_no_more_than_one_line_is_said(data: st.DataObject) -> None:
    release = data.draw(st.sampled_from(RELEASES))
    question = Question(0, {"options": ["a", "b"]}, "Q", ["a", "b"], 1)
    made = [
        choice_row(release, question, Said([-1.0, -2.0], [-1.0, -1.0]), " ", list(METRICS)),
        written(0, "Q", "a", "a", {"exact_match": 1.0}, release=release),
        row(release, 0, "a b", "a b", [["a b"]], [-3.5], {"word_perplexity": [-3.5, 2]}),
        row(release, 0, {}, "b", [["a", "b"]], [[-3.5, True]], {"acc": 1, "perplexity": -3.5}),
    ]
    values = data.draw(st.sampled_from(made))
    for name in data.draw(st.lists(st.sampled_from(sorted(values)), max_size=3)):
        values[name] = data.draw(json_values)
    metric = data.draw(st.sampled_from([None, *METRICS, "exact_match", "doc_id", "word_perplexity"]))
    with tempfile.TemporaryDirectory() as folder:
        if attempt(write(release, Path(folder) / NAME, [values], ascii_only=True), metric)[1]:
            event("refused")


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_a_damaged_file_says_the_line(data: st.DataObject) -> None:
    release = data.draw(st.sampled_from([OLD, NEWEST]))
    with tempfile.TemporaryDirectory() as folder:
        path = write(
            release, Path(folder) / NAME, [written(n, "Q", "a", "b", {"em": 0}, release=release) for n in (0, 1)]
        )
        content = path.read_bytes()
        start = data.draw(st.integers(0, len(content) - 1))
        path.write_bytes(
            content[:start] + data.draw(st.binary(max_size=3)) + content[start + data.draw(st.integers(0, 9)) :]
        )
        if attempt(path)[1]:
            event("refused")


def fraction(number: int, share: float, likeliest: int = 0) -> Row:
    """A row of truthfulqa_mc2: its `acc` is the probability of all true choices."""
    lls = [-1.0 if choice == likeliest else -2.0 for choice in range(3)]
    requests = [["Q", f" {choice}"] for choice in "abc"]
    return row(NEWEST, number, {"q": number}, "0", requests, [[ll, False] for ll in lls], {"acc": share})


def test_an_accuracy_that_is_a_fraction_is_graded(tmp_path: Path) -> None:
    models = [[fraction(0, 0.25, 1), fraction(1, 1.0, 2), fraction(2, 0.0)], [fraction(i, 0.5) for i in range(3)]]
    found = compared([write(NEWEST, tmp_path / str(i) / NAME, model) for i, model in enumerate(models)])
    assert (found.table.n, found.graded[0].flips.gains, found.graded[0].flips.losses) == (0, 2, 1)
    assert found.graded[0].flips.mean_change == pytest.approx((0.25 - 0.5 + 0.5) / 3)


def in_lines(*rows: Row, name: str = NAME) -> Callable[[Path], Path]:
    return lambda folder: write(NEWEST, folder / name, rows)


def pair(scores: dict[str, Any], **more: Any) -> Row:
    return row(NEWEST, 0, {}, " b", [["a", " b"]], [[-3.5, False]], scores, **more)


ROLLING = row(
    NEWEST, 0, {"page": "a b"}, "a b", [["a b"]], [-3.5], {"word_perplexity": [-3.5, 2], "bits_per_byte": [-3.5, 3]}
)
QUESTION = Question(0, {"q": "?"}, "Q", ["red", "green"], 1)
SAID = Said([-1.0, -2.0], [-3.0, -1.0])
GREEDY = choice_row(NEWEST, QUESTION, SAID, " ", ["acc"]) | {"metrics": ["acc", "exact_match"], "exact_match": 0}
MISPAIRED = choice_row(RELEASES[3], QUESTION, SAID, " ", ["acc", "acc_mutual_info"])
PASSED = {"f1": [1, 0], "mcc": [1, 0], "brier_score": [1, [0.5, 0.5]]}


@pytest.mark.parametrize(
    ("make", "metric", "message"),
    [
        (in_lines(written(0, "Q", "a", "a", {"bypass": 0.0})), None, "line 1: made with --predict_only: nothing was"),
        (in_lines(written(0, "Q", "a", "a", {"bypass": None})), "acc", "line 1: made with --predict_only: nothing was"),
        (in_lines(choice_row(NEWEST, QUESTION, SAID, " ", [])), None, "there is none, as after --predict_only"),
        (in_lines(ROLLING), None, "line 1: no metric that is a number: word_perplexity is a list, bits_per_byte is a"),
        (in_lines(pair(PASSED)), "mcc", "line 1: no number as metric 'mcc' (it is a list): none are"),
        (in_lines(pair({"acc": 0})), None, "acc is right or wrong, but the log does not say what was predicted"),
        (in_lines(GREEDY), "exact_match", "line 1: exact_match of choices says whether the target is the greedy"),
        (in_lines(MISPAIRED), None, "0.4.5 to 0.4.8 computed all accuracies from the wrong requests"),
        (in_lines(written(0, "Q", "a", "a", {"em": 10**400})), None, "line 1: wanted a finite number as em"),
        (in_lines(written(0, "Q", "a", "a", {"em": 1})), "doc_id", "no number as metric 'doc_id': known: em"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_says_why(
    tmp_path: Path, make: Callable[[Path], Path], metric: str | None, message: str
) -> None:
    with pytest.raises(DataError) as caught:
        read(make(tmp_path), metric)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_likelihoods_of_a_target_are_compared_as_scores(tmp_path: Path) -> None:
    """`perplexity` of LAMBADA is the log-likelihood of the target."""
    logs = [
        write(NEWEST, tmp_path / str(i) / NAME, [pair({"acc": 0, "perplexity": ll})]) for i, ll in enumerate((-3.5, -2))
    ]
    assert compared(logs, "perplexity").graded[0].flips.gains == 1


@pytest.mark.parametrize("release", [r for r in RELEASES if r.mutual != "wrong"], ids=lambda r: r.name)
def test_mutual_information_has_a_request_more_a_choice(tmp_path: Path, release: Release) -> None:
    question = Question(0, {"options": ["red", "green", "blue", "grey"]}, "Q", ["red", "green", "blue", "grey"], 2)
    said = Said([-1.0, -2.0, -3.0, -4.0], [-1.0, -2.0, -9.0, -5.0])
    path = write(release, tmp_path / NAME, [choice_row(release, question, said, " ", list(METRICS))])
    for metric, wanted in (("acc", "0: red"), ("acc_norm", "0: red"), ("acc_mutual_info", "2: blue")):
        (got,) = ledger(read(path, metric))
        assert (got["prediction"], got["target"], got["correct"]) == (wanted, "2: blue", wanted == "2: blue")
        shares = [math.exp(ll) for ll in said.likelihoods]
        assert got["confidence"] == pytest.approx(shares[int(wanted[0])] / sum(shares))


def test_choices_that_are_digits_with_the_target_as_text(tmp_path: Path) -> None:
    question = Question(0, {"options": ["1", "2", "3"]}, "1 + 1 =", ["1", "2", "3"], "2")
    rows = [choice_row(NEWEST, question, Said(lls), " ", ["acc"]) for lls in ([-2.0, -1.0, -3.0], [-2.0, -3.0, -1.0])]
    found = compared([write(NEWEST, tmp_path / str(i) / NAME, [row]) for i, row in enumerate(rows)])
    assert found.table.negative_flips == 1
    assert (found.worst[0].target, found.worst[0].old_prediction, found.worst[0].new_prediction) == (
        "2",
        "1: 2",
        "2: 3",
    )


@pytest.mark.parametrize("delimiter", DELIMITERS)
def test_only_the_choice_itself_has_a_length(tmp_path: Path, delimiter: str) -> None:
    """-6 / 3 < -4 / 2.5: with the delimiter counted another choice would be taken for some of these."""
    choices = ["a", "bb bb"]
    for ratio in (4.9, 4.2, 3.4, 2.9, 2.6):
        question = Question(0, {"choices": choices}, "Q", choices, 0)
        made = choice_row(NEWEST, question, Said([-1.0, -ratio]), delimiter, ["acc_norm"])
        (got,) = ledger(read(write(NEWEST, tmp_path / f"{ratio}" / NAME, [made])))
        assert got["prediction"][0] == "1"


def test_unknown_lengths_of_choices_are_refused_where_they_matter(tmp_path: Path) -> None:
    made = choice_row(NEWEST, Question(0, {}, "Q", ["a", "bb bb", "c"], 2), Said([-1.0, -4.0, -9.0]), " ", ["acc_norm"])
    with pytest.raises(
        DataError, match="line 1: acc_norm divides by the length of the choice, which the log does not separate"
    ):
        read(write(NEWEST, tmp_path / NAME, [made]))
    informative = choice_row(
        NEWEST, Question(1, {}, "Q", ["a", "bb bb", "c"], 1), Said([-1.0, -4.0, -9.0]), " ", ["acc_norm"]
    )
    assert [got["prediction"][0] for got in ledger(read(write(NEWEST, tmp_path / NAME, [made, informative])))] == [
        "1",
        "1",
    ]


def test_choices_within_prompts_have_no_known_length(tmp_path: Path) -> None:
    """As winogrande: the prompts differ, the text after them is one."""
    requests = [["Ann met Bea; Ann", " won."], ["Ann met Bea; Bea", " won."]]
    made = row(NEWEST, 0, {}, "won.", requests, [[-1.0, False], [-2.0, False]], {"acc": 1.0, "acc_norm": 1.0})
    path = write(NEWEST, tmp_path / NAME, [made])
    assert [(got["prediction"], got["target"]) for got in ledger(read(path))] == [("0: won.", "won.")]
    with pytest.raises(DataError, match="as parts of prompts only"):
        read(path, "acc_norm")


def test_several_generations_are_one_answer(tmp_path: Path) -> None:
    """Also two of them: an answer of two is not always a likelihood."""
    models = [
        [written(0, GSM8K, answer, "3", {"pass@2": score})] for answer, score in ((["3", "4"], 1.0), (["5", "4"], 0.0))
    ]
    found = compared([write(NEWEST, tmp_path / str(i) / NAME, model) for i, model in enumerate(models)])
    assert found.table.negative_flips == 1
    assert (found.worst[0].old_prediction, found.worst[0].new_prediction) == ('["3", "4"]', '["5", "4"]')


def test_half_a_surrogate_pair_is_printed_shown_and_compared(tmp_path: Path) -> None:
    """Two halves are two answers."""
    models = [
        [written(0, "Q\ud83d", a, "\udc00", {"em": 0}), written(1, "Q", "x", "y", {"em": b})]
        for a, b in (("\ud83d", 1), ("\ud83e", 0))
    ]
    paths = [write(NEWEST, tmp_path / str(i) / NAME, model, ascii_only=True) for i, model in enumerate(models)]
    found = compared(paths)
    assert (found.table.both_wrong_different, found.table.negative_flips) == (1, 1)
    write_page(found, tmp_path / "page.html")
    "\n".join(worst_lines(found, 9)).encode()
    json.dumps(to_dict(found), ensure_ascii=False).encode()


def test_a_list_in_a_file_is_named_after_model_and_task(tmp_path: Path) -> None:
    """As releases up to 0.4.2 write it."""
    rows = [[written(n, f"Q{n}", a, "a", {"em": float(a == "a")}, release=OLD) for n in (0, 1)] for a in "ab"]
    paths = [write(OLD, tmp_path / f"pretrained__m_v{i}_arc_easy.jsonl", model) for i, model in enumerate(rows)]
    found = compared(paths)
    assert (list(found.tasks), found.table.negative_flips) == (["arc_easy"], 2)
    newer = [{**r, "filter": "none", "metrics": ["em"]} for r in rows[1]]
    found = compared([paths[0], write(NEWEST, tmp_path / "samples_arc_easy_2024-01-01T00-00-00.jsonl", newer)])
    assert (list(found.tasks), found.table.negative_flips) == (["arc_easy"], 2)
    other = write(OLD, tmp_path / "pretrained__m_v1_piqa.jsonl", rows[1])
    with pytest.raises(DataError, match="no task in common"):
        compared([paths[0], other])
    rows[1][1]["em"] = "x"
    line = 1 + json.dumps(rows[1], indent=2)[: json.dumps(rows[1], indent=2).index('{\n    "doc_id": 1')].count("\n")
    with pytest.raises(DataError, match=f"v1_arc_easy.jsonl, line {line}: no number as metric 'em'"):
        read(write(OLD, paths[1], rows[1]))


def test_two_metrics_are_not_compared(tmp_path: Path) -> None:
    logs = [write(NEWEST, tmp_path / m / NAME, [written(0, "Q", "a", "a", {m: 1})]) for m in ("em", "em_strict")]
    with pytest.raises(
        DataError, match=r"no metric in common: .* has 'em' first, .* has 'em_strict': choose one with --metric"
    ):
        compared(logs)
