"""One row of a sample log of lm-evaluation-harness: question, answer and score."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from clbench.core.errors import DataError, did_you_mean
from clbench.reports.flips.lm_eval_choices import LIKELIEST_METRICS, MUTUAL_INFO, Choices, read_choices
from clbench.reports.leaderboard.text import plain

NEEDED = ("doc_id", "target", "arguments", "filtered_resps")
"""Keys that every row has."""
NOT_METRICS = frozenset({*NEEDED, "doc", "resps", "filter", "metrics", "doc_hash", "prompt_hash", "target_hash"})
LONGEST_TEXT = 4000
"""Characters of a prompt that a ledger keeps."""
BYPASS = "bypass"
"""The metric in rows of a run that was not scored (`--predict_only`); its value has no meaning."""
KINDS = {list: "a list", str: "a text", dict: "an object", type(None): "null"}


@final
@dataclass(frozen=True)
class Answer:
    """Answer and target of a row.

    Args:
        target: The right answer, or a name of it.
        prediction: The generated text; None for multiple choice, or if the log does not say what was predicted.
        choices: The choices of a multiple-choice question; None for other questions.
        likeliest: Number of the predicted choice for each possible delimiter; None for other questions.
        right: Numbers of the right choices; several sets if the target can be read in several ways, none if unknown.
    """

    target: str
    prediction: str | None = None
    choices: Choices | None = None
    likeliest: Mapping[str, int] | None = None
    right: Sequence[frozenset[int]] = ()

    def agrees(self, chosen: int, score: float) -> bool:
        """Whether a score fits a predicted choice, as far as the log says which choices are right."""
        return not self.right or any((chosen in right) == bool(score) for right in self.right)


@final
@dataclass(frozen=True)
class SampleRow:
    """A document under one filter.

    Args:
        where: File and line, for error messages.
        sample_id: Number of the document and hash of its content.
        filter: Name of the filter; None in logs of releases up to 0.4.5, which do not name it.
        metric: Name of the metric.
        score: Value of the metric.
        answer: Answer and target.
        text: The prompt, cut.
    """

    where: str
    sample_id: str
    filter: str | None
    metric: str
    score: float
    answer: Answer
    text: str

    @property
    def binary(self) -> bool:
        """Whether the score is 0 or 1, so that it can be that of a wrong or right answer."""
        return self.score in (0, 1)

    def columns(self, chosen: int | None) -> dict[str, object]:
        """The columns of the ledger's row; `correct` is None unless the score is 0 or 1."""
        prediction, confidence = self.answer.prediction, None
        if self.answer.choices is not None and chosen is not None:
            prediction, confidence = self.answer.choices.names[chosen], self.answer.choices.probability(chosen)
        correct = bool(self.score) if self.binary else None
        found = {"sample_id": self.sample_id, "prediction": prediction, "target": self.answer.target}
        return {**found, "correct": correct, "score": self.score, "confidence": confidence, "text": self.text}


def read_row(value: Mapping[str, object], where: str, metric: str | None) -> SampleRow:
    """Read a row of a sample log.

    The sample id has the hash of the document, so that different documents under one number are not paired. The answer
    to a multiple-choice question is the choice that the metric predicts; its confidence is its likelihood over the sum
    of the likelihoods of all choices.

    Args:
        value: The JSON object of the row.
        where: File and line, for error messages.
        metric: Name of the metric to read; None for the first one that is a number.

    Raises:
        DataError: If the object is not a row of a sample log, or lacks the metric.
    """
    missing = [name for name in NEEDED if name not in value]
    if missing:
        raise DataError(f"{where}: not a row of a sample log: {', '.join(missing)} is missing")
    if BYPASS in _names(value):
        raise DataError(f"{where}: made with --predict_only: nothing was scored, so there is nothing to compare")
    chosen = metric or _first_metric(value, where)
    score = _score(value, chosen, where)
    requests = _requests(value["arguments"])
    return SampleRow(
        where,
        f"{value['doc_id']} {_digest(value)}".strip(),
        str(value["filter"]) if "filter" in value else None,
        chosen,
        score,
        _answer(value, requests, chosen, where),
        str(requests[0][0])[:LONGEST_TEXT] if requests and requests[0] else "",
    )


def _digest(value: Mapping[str, object]) -> str:
    """Hash of the document, 12 digits; computed as in the harness for logs up to 0.4.2, which lack it."""
    if "doc_hash" in value or "doc" not in value:
        return str(value.get("doc_hash", ""))[:12]
    text = json.dumps(value["doc"], indent=2, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _names(value: Mapping[str, object]) -> list[str]:
    named = value.get("metrics")
    return [str(name) for name in named] if isinstance(named, list) else [n for n in value if n not in NOT_METRICS]


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
    assert isinstance(number, bool | int | float)  # `_metrics` has numbers only
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
    """Arguments of each request; newer releases write objects (`gen_args_0`, `arg_0`), older ones lists."""
    requests = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return [list(r.values()) if isinstance(r, dict) else r if isinstance(r, list) else [r] for r in requests]


def _answer(value: Mapping[str, object], requests: Sequence[Sequence[object]], metric: str, where: str) -> Answer:
    """Answer by the kind of requests: log-likelihoods of continuations, log-likelihood of a text, or generation."""
    answers, target = value["filtered_resps"], str(value["target"])
    if not isinstance(answers, list) or not answers or all(len(request) < 2 for request in requests):
        return Answer(target)
    if not all(len(request) > 1 and isinstance(request[1], str) for request in requests):
        return Answer(target, _written(answers[0]))
    if len(requests) == 1 and requests[0][1] == target:
        return Answer(target)  # only the target was scored: the log does not say what was predicted
    if metric == "exact_match":
        what = "of choices says whether the target is the greedy answer, not which choice was predicted"
        raise DataError(f"{where}: {metric} {what}: try another --metric")
    choices = read_choices(answers, requests, MUTUAL_INFO in _names(value), where)
    name, right = _wanted(target, choices)
    likeliest = choices.likeliest(metric, value.get("doc"), where)
    return Answer(name, None, choices, likeliest, right if metric in LIKELIEST_METRICS else ())


def _written(answer: object) -> str:
    """A generated text; JSON of all texts if a filter kept several (`repeats`)."""
    if isinstance(answer, list) and len(answer) == 1:
        answer = answer[0]
    return answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)


def _wanted(target: str, choices: Choices) -> tuple[str, list[frozenset[int]]]:
    """Name of the target, and the sets of choices that it can mean.

    A target is the number of a choice, its text, or a list of numbers; since 0.4.5 logs have each of these as text. A
    number that is also the text of another choice keeps its name, as it can mean both.
    """
    if choices.in_prompts:
        return target, []  # here the target is the continuation that all choices have
    numbers = {int(target)} if target.isascii() and target.isdecimal() and len(target) < 9 else set()
    if target in ("True", "False"):
        numbers = {int(target == "True")}
    asked = {delimiter + target for delimiter in choices.delimiters()}
    texts = {index for index, text in enumerate(choices.continuations) if text in asked}
    found = sorted(texts | {number for number in numbers if number < len(choices.continuations)})
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
