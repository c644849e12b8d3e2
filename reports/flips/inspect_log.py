"""Logs of inspect_ai in its JSON format (version 2)."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from clbench.core.errors import DataError, did_you_mean
from clbench.reports.flips.answers import Answer, to_predictions
from clbench.reports.flips.predictions import Predictions
from clbench.reports.leaderboard.text import encodable, plain

VERSION = 2
WORDS = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0, "yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
"""Scores that inspect_ai writes as words: correct, incorrect, partial, no answer."""


def is_inspect_log(value: Mapping[str, object]) -> bool:
    """Whether a JSON object is a log of inspect_ai."""
    return isinstance(value.get("eval"), dict) and "status" in value and "plan" in value


def read_inspect_log(path: Path, log: Mapping[str, Any], scorer: str | None) -> Predictions:
    """Read a log; each sample counts once, with its mean score over epochs.

    Args:
        path: Where it is from, for messages.
        log: The JSON object.
        scorer: Name of the scorer; None for the first one.

    Raises:
        DataError: For another version of the format, a run that did not succeed, samples that are missing or damaged,
            an unknown scorer, or scores that are no numbers.
    """
    if log.get("version") != VERSION:
        raise DataError(f"{path}: wanted version {VERSION} of inspect_ai's log format, got {log.get('version')!r}")
    if log["status"] != "success":
        raise DataError(f"{path}: wanted a run with the status 'success', got {log['status']!r}")
    samples, task = log.get("samples"), log["eval"].get("task")
    if not isinstance(samples, list) or not samples or not isinstance(task, str):
        raise DataError(f"{path}: the log has no {'samples' if isinstance(task, str) else 'name of the task'}")
    name = scorer if scorer is not None else _first_scorer(path, samples)
    answers = (_answer(f"{path}, sample {number}", sample, task, name) for number, sample in enumerate(samples, 1))
    return to_predictions(encodable(str(path)), answers, name, name)


def _first_scorer(path: Path, samples: list[Any]) -> str:
    for sample in samples:
        if isinstance(sample, dict) and isinstance(sample.get("scores"), dict) and sample["scores"]:
            return str(next(iter(sample["scores"])))
    raise DataError(f"{path}: no sample has a score")


def _answer(where: str, sample: Any, task: str, scorer: str) -> Answer:
    match sample:
        case {"id": int() | str() as name, "target": str() | list() as target, "output": dict(output)}:
            pass
        case _:
            raise DataError(f"{where}: damaged: wanted an object with id, target and output")
    scores = sample.get("scores") or {}
    if not isinstance(scores, dict) or (scores and not isinstance(scores.get(scorer), dict)):
        known = did_you_mean(scorer, map(plain, scores if isinstance(scores, dict) else ()))
        raise DataError(f"{where}: no scorer {plain(scorer)!r}: {known}")
    score = scores.get(scorer, {})
    written = score.get("answer")
    prediction = written if isinstance(written, str) else output.get("completion")
    return Answer(
        task,
        str(name),
        target if isinstance(target, str) else str(target[0]) if len(target) == 1 else json.dumps(target),
        prediction if isinstance(prediction, str) else None,
        _number(where, score["value"]) if "value" in score else None,
        _text(sample.get("input")),
    )


def _number(where: str, value: object) -> float | None:
    """A score as a number, as inspect_ai's `value_to_float` converts it; None for NaN, its mark of no score."""
    if isinstance(value, str):
        found = WORDS.get(value, WORDS.get(value.lower()))
        if found is not None:
            return found
    try:
        number = float(value) if isinstance(value, bool | int | float | str) else None
    except (ValueError, OverflowError):
        number = None
    if number is None:
        raise DataError(f"{where}: wanted a score that is a number, got {plain(str(value))[:100]!r}: try --metric")
    return None if math.isnan(number) else number


def _text(given: object) -> str | None:
    """What the model was given: a text, or the texts of messages."""
    if isinstance(given, str):
        return given
    return "\n".join(_texts(given)) if isinstance(given, list) else None


def _texts(messages: list[Any]) -> Iterator[str]:
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else [content]:
            text = part.get("text") if isinstance(part, dict) else part
            if isinstance(text, str):
                yield text
