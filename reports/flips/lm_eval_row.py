"""One row of a sample log of lm-evaluation-harness: what was asked, answered and scored."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast, final

from clbench.errors import DataError, did_you_mean

NEEDED = ("doc_id", "target", "arguments", "filtered_resps")
NO_METRICS = frozenset({*NEEDED, "doc", "resps", "filter", "metrics", "doc_hash", "prompt_hash", "target_hash"})
LONGEST_TEXT = 4000
LENGTHS: dict[str, Callable[[str], int]] = {
    "acc": lambda choice: 1,
    "acc_norm": len,
    "acc_bytes": lambda choice: len(choice.encode()),
}
"""What the harness divides the log-likelihood of a choice by; other metrics are taken to compare them as they are."""


@final
@dataclass(frozen=True)
class Row:
    """A document under one filter."""

    sample_id: str
    filter: str
    metric: str
    score: float
    prediction: str | None
    target: str
    confidence: float | None
    text: str

    def columns(self) -> dict[str, object]:
        """The row as that of a ledger; right or wrong where the score is 1 or 0."""
        correct = bool(self.score) if self.score in (0, 1) else None
        found = {"sample_id": self.sample_id, "prediction": self.prediction, "target": self.target, "correct": correct}
        return {**found, "score": self.score, "confidence": self.confidence, "text": self.text}


def read_row(value: Mapping[str, object], where: str, metric: str | None) -> Row:
    """Take a row apart.

    The sample's name is its number and the hash of its document, so that another document under the same number does
    not match. The answer to a multiple-choice question is the likeliest choice, as the metric compares likelihoods; the
    confidence is its share of the likelihood of all choices.

    Raises:
        DataError: When the row is not one of a sample log, lacks the metric or contradicts itself.
    """
    missing = [name for name in NEEDED if name not in value]
    if missing:
        raise DataError(f"{where}: not a row of a sample log: {', '.join(missing)} is missing")
    chosen = metric or _first_metric(value, where)
    score = value.get(chosen)
    if not isinstance(score, bool | int | float):
        hint = did_you_mean(chosen, _metrics(value))
        raise DataError(f"{where}: no number as metric {chosen!r}: {hint}")
    arguments = _arguments(value["arguments"])
    answers = value["filtered_resps"]
    prediction, confidence, target = _answer(answers, arguments, chosen, str(value["target"]))
    if chosen in LENGTHS and confidence is not None and value["target"] != target:  # the target names a choice
        _check(prediction == target, bool(score), where, chosen)
    digest = str(value.get("doc_hash", ""))[:12]
    return Row(
        f"{value['doc_id']} {digest}".strip(),
        str(value.get("filter", "none")),
        chosen,
        float(score),
        prediction,
        target,
        confidence,
        str(arguments[0][0])[:LONGEST_TEXT] if arguments and arguments[0] else "",
    )


def _metrics(value: Mapping[str, object]) -> list[str]:
    named = value.get("metrics")
    names = [str(name) for name in named] if isinstance(named, list) else [n for n in value if n not in NO_METRICS]
    return [name for name in names if isinstance(value.get(name), bool | int | float)]


def _first_metric(value: Mapping[str, object], where: str) -> str:
    found = _metrics(value)
    if not found:
        raise DataError(f"{where}: no metric that is a number")
    return found[0]


def _arguments(value: object) -> list[list[object]]:
    """The arguments of each request; newer releases write objects (`gen_args_0`, `arg_0`), older ones lists."""
    requests = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return [list(r.values()) if isinstance(r, dict) else r if isinstance(r, list) else [r] for r in requests]


def _answer(
    answers: object, arguments: Sequence[Sequence[object]], metric: str, target: str
) -> tuple[str | None, float | None, str]:
    """Prediction, confidence and target; choices by number and text."""
    if not isinstance(answers, list) or not answers:
        return None, None, target
    if not all(isinstance(answer, list) and len(answer) == 2 for answer in answers):
        return answers[0] if isinstance(answers[0], str) else json.dumps(answers[0]), None, target
    if len(answers) < 2 or len(answers) != len(arguments):
        return None, None, target  # the likelihood of one continuation: the log does not say what was predicted
    likelihoods = [float(answer[0]) for answer in cast(list[list[str]], answers)]
    choices = [str(request[-1]).removeprefix(" ") for request in arguments]
    length = LENGTHS.get(metric, LENGTHS["acc"])
    scores = [likelihood / max(length(choice), 1) for likelihood, choice in zip(likelihoods, choices, strict=True)]
    best = scores.index(max(scores))
    weights = [math.exp(likelihood - max(likelihoods)) for likelihood in likelihoods]
    named = [f"{index}: {choice}" for index, choice in enumerate(choices)]
    if target.isdecimal() and int(target) < len(named):
        target = named[int(target)]
    return named[best], weights[best] / math.fsum(weights), target


def _check(equal: bool, right: bool, where: str, metric: str) -> None:
    if equal != right:
        said, found = ("right", "another choice") if right else ("wrong", "the target")
        raise DataError(f"{where}: {metric} says {said}, but the likeliest choice is {found}: try another --metric")
