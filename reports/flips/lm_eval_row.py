"""One row of a sample log of lm-evaluation-harness: what was asked, answered and scored."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from clbench.core.errors import DataError, did_you_mean
from clbench.reports.flips.lm_eval_choices import LIKELIEST, MUTUAL, Choices, read_choices
from clbench.reports.leaderboard.text import plain

NEEDED = ("doc_id", "target", "arguments", "filtered_resps")
NO_METRICS = frozenset({*NEEDED, "doc", "resps", "filter", "metrics", "doc_hash", "prompt_hash", "target_hash"})
LONGEST_TEXT = 4000
UNSCORED = "bypass"
"""The metric of a run that was not scored; its value means nothing."""
KINDS = {list: "a list", str: "a text", dict: "an object", type(None): "null"}


@final
@dataclass(frozen=True)
class Answer:
    """What was answered and what was wanted.

    Args:
        target: What was wanted.
        prediction: The written answer; None for choices, or where the log does not say what was predicted.
        choices: What there was to choose from.
        likeliest: Of choices, the one that was taken, by the delimiter that this takes for granted.
        right: Of choices, those that are right; one set a reading where the log can be read in several ways.
    """

    target: str
    prediction: str | None = None
    choices: Choices | None = None
    likeliest: Mapping[str, int] | None = None
    right: Sequence[frozenset[int]] = ()

    def agrees(self, chosen: int, score: float) -> bool:
        """Whether a score is that of a choice, as far as the log says which are right."""
        return not self.right or any((chosen in right) == bool(score) for right in self.right)


@final
@dataclass(frozen=True)
class Row:
    """A document under one filter; `filter` is None where the harness did not write it (up to 0.4.5)."""

    where: str
    sample_id: str
    filter: str | None
    metric: str
    score: float
    answer: Answer
    text: str

    @property
    def binary(self) -> bool:
        """Whether the score can be that of a right or wrong answer."""
        return self.score in (0, 1)

    def columns(self, chosen: int | None) -> dict[str, object]:
        """The row as that of a ledger; right or wrong where the score is 1 or 0."""
        prediction, confidence = self.answer.prediction, None
        if self.answer.choices is not None and chosen is not None:
            prediction, confidence = self.answer.choices.names[chosen], self.answer.choices.share(chosen)
        correct = bool(self.score) if self.binary else None
        found = {"sample_id": self.sample_id, "prediction": prediction, "target": self.answer.target}
        return {**found, "correct": correct, "score": self.score, "confidence": confidence, "text": self.text}


def read_row(value: Mapping[str, object], where: str, metric: str | None) -> Row:
    """Take a row apart.

    The sample's name is its number and the hash of its document, so that another document under the same number does
    not match. The answer to a multiple-choice question is the likeliest choice, as the metric compares likelihoods; the
    confidence is its share of the likelihood of all choices.

    Raises:
        DataError: When the row is not one of a sample log, or lacks the metric.
    """
    missing = [name for name in NEEDED if name not in value]
    if missing:
        raise DataError(f"{where}: not a row of a sample log: {', '.join(missing)} is missing")
    if UNSCORED in _names(value):
        raise DataError(f"{where}: made with --predict_only: nothing was scored, so there is nothing to compare")
    chosen = metric or _first_metric(value, where)
    score = _score(value, chosen, where)
    requests = _requests(value["arguments"])
    return Row(
        where,
        f"{value['doc_id']} {_digest(value)}".strip(),
        str(value["filter"]) if "filter" in value else None,
        chosen,
        score,
        _answer(value, requests, chosen, where),
        str(requests[0][0])[:LONGEST_TEXT] if requests and requests[0] else "",
    )


def _digest(value: Mapping[str, object]) -> str:
    """The hash of the document; up to 0.4.2 the harness did not write it, but it can be made."""
    if "doc_hash" in value or "doc" not in value:
        return str(value.get("doc_hash", ""))[:12]
    text = json.dumps(value["doc"], indent=2, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _names(value: Mapping[str, object]) -> list[str]:
    named = value.get("metrics")
    return [str(name) for name in named] if isinstance(named, list) else [n for n in value if n not in NO_METRICS]


def _metrics(value: Mapping[str, object]) -> list[str]:
    return [name for name in _names(value) if isinstance(value.get(name), bool | int | float)]


def _first_metric(value: Mapping[str, object], where: str) -> str:
    found = _metrics(value)
    if not found:
        kinds = ", ".join(f"{plain(name)} is {_kind(value.get(name))}" for name in _names(value))
        raise DataError(f"{where}: no metric that is a number: {kinds or 'there is none, as after --predict_only'}")
    return found[0]


def _score(value: Mapping[str, object], metric: str, where: str) -> float:
    if metric not in _metrics(value):
        kind = f" (it is {_kind(value[metric])})" if metric in _names(value) and metric in value else ""
        raise DataError(
            f"{where}: no number as metric {metric!r}{kind}: {did_you_mean(metric, map(plain, _metrics(value)))}"
        )
    number = value[metric]
    assert isinstance(number, bool | int | float)  # it is one of the metrics
    try:
        score = float(number)
    except OverflowError:
        score = math.inf
    if not math.isfinite(score):
        raise DataError(f"{where}: wanted a finite number as {plain(metric)}")
    return score


def _kind(value: object) -> str:
    return KINDS.get(type(value), type(value).__name__)


def _requests(value: object) -> list[list[object]]:
    """The arguments of each request; newer releases write objects (`gen_args_0`, `arg_0`), older ones lists."""
    requests = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return [list(r.values()) if isinstance(r, dict) else r if isinstance(r, list) else [r] for r in requests]


def _answer(value: Mapping[str, object], requests: Sequence[Sequence[object]], metric: str, where: str) -> Answer:
    """What was answered, by what was requested: a likelihood of a continuation, of a whole text, or a generation."""
    answers, target = value["filtered_resps"], str(value["target"])
    if not isinstance(answers, list) or not answers or all(len(request) < 2 for request in requests):
        return Answer(target)
    if not all(len(request) > 1 and isinstance(request[1], str) for request in requests):
        return Answer(target, _written(answers[0]))
    if len(requests) == 1 and requests[0][1] == target:
        return Answer(target)  # the likelihood of the target alone: the log does not say what was predicted
    if metric == "exact_match":
        what = "of choices says whether the target is the greedy answer, not which choice was taken"
        raise DataError(f"{where}: {metric} {what}: try another --metric")
    choices = read_choices(answers, requests, MUTUAL in _names(value), where)
    name, right = _wanted(target, choices)
    likeliest = choices.likeliest(metric, value.get("doc"), where)
    return Answer(name, None, choices, likeliest, right if metric in LIKELIEST else ())


def _written(answer: object) -> str:
    """A generation, or all that a filter kept of several (`repeats`)."""
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    return answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)


def _wanted(target: str, choices: Choices) -> tuple[str, list[frozenset[int]]]:
    """The target's name, and which choices it can mean.

    A target is the number of a choice, its text, or a list of numbers; since 0.4.5 a log has any of them as text. Where
    a number is also the text of another choice, it stays as it is.
    """
    if choices.in_prompts:
        return target, []  # the text that stands after each choice
    numbers = {int(target)} if target.isascii() and target.isdecimal() and len(target) < 9 else set()
    if target in ("True", "False"):
        numbers = {int(target == "True")}
    asked = {delimiter + target for delimiter in choices.delimiters()}
    texts = {index for index, text in enumerate(choices.texts) if text in asked}
    found = sorted(texts | {number for number in numbers if number < len(choices.texts)})
    if found:
        numbered = target.isdecimal() and set(found) == numbers
        return choices.names[found[0]] if numbered else target, [frozenset({index}) for index in found]
    try:
        listed = json.loads(target) if target.startswith("[") else None
    except ValueError:
        listed = None
    if isinstance(listed, list) and listed and all(type(item) is int for item in listed):
        return target, [frozenset(listed)]
    return target, []
