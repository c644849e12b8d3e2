"""Sample logs as releases of lm-evaluation-harness write them, with the scores that `process_results` gives.

Written after `api/task.py`, `evaluator.py` and `loggers/evaluation_tracker.py` of the releases 0.4.1 to 0.4.13.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

Row = dict[str, Any]


@dataclass(frozen=True)
class Release:
    """What differs between releases.

    Args:
        name: As released.
        listed: Whether a log is one JSON list.
        hashed: Whether rows have the hash of their document.
        filtered: Whether rows name their filter and metrics.
        typed: Whether targets keep their type.
        mutual: Where requests for mutual information without the question are: after each of the others or after all;
            `wrong` is after all, but read as if they were after each.
    """

    name: str
    listed: bool = False
    hashed: bool = True
    filtered: bool = True
    typed: bool = False
    mutual: Literal["each", "wrong", "all"] = "all"


RELEASES = [
    Release("0.4.1", listed=True, hashed=False, filtered=False, typed=True, mutual="each"),
    Release("0.4.3", filtered=False, typed=True, mutual="each"),
    Release("0.4.5", filtered=False, mutual="wrong"),
    Release("0.4.8", mutual="wrong"),
    Release("0.4.13"),
]
OLD, NEWEST = RELEASES[0], RELEASES[-1]


@dataclass(frozen=True)
class Question:
    """A document of multiple choice; `gold` is what `doc_to_target` gives: a number, a text, or several numbers."""

    number: int
    doc: Mapping[str, Any]
    prompt: str
    choices: Sequence[str]
    gold: int | str | list[int]


@dataclass(frozen=True)
class Said:
    """What a model gave: log-likelihoods of all choices, with and without the question."""

    likelihoods: Sequence[float]
    alone: Sequence[float] = ()


def picked(metric: str, question: Question, lls: Sequence[float], alone: Sequence[float]) -> int:
    """The choice that the harness takes."""
    if metric == "acc_mutual_info":
        return int(np.argmax(np.array(lls) - np.array(alone)))
    choices = question.choices
    lengths = {
        "acc_norm": [len(choice) for choice in choices],
        "acc_bytes": [len(choice.encode()) for choice in choices],
    }
    with np.errstate(divide="ignore", invalid="ignore"):
        return int(np.argmax(np.array(lls) / np.array(lengths.get(metric, [1] * len(choices)), dtype=float)))


def gold_of(question: Question) -> int | list[int]:
    """The number or the numbers that the harness compares with."""
    if isinstance(question.gold, str):
        return question.choices.index(question.gold) if question.gold in question.choices else -100
    return question.gold


def choice_row(release: Release, question: Question, said: Said, delimiter: str, metrics: Sequence[str]) -> Row:
    """The row of a multiple-choice question."""
    lls, alone = list(said.likelihoods), list(said.alone)
    requests = [[question.prompt, f"{delimiter}{choice}"] for choice in question.choices]
    if "acc_mutual_info" in metrics:
        more = [["", choice if release.mutual != "all" else f"{delimiter}{choice}"] for choice in question.choices]
        if release.mutual == "each":
            requests = [request for pair in zip(requests, more, strict=True) for request in pair]
            every = [ll for pair in zip(lls, alone, strict=True) for ll in pair]
        else:
            requests, every = requests + more, lls + alone
        if release.mutual == "wrong":
            lls, alone = every[::2], every[1::2]
    else:
        every = lls
    gold = gold_of(question)
    scores = {}
    for metric in metrics:
        chosen = picked(metric, question, lls, alone)
        scores[metric] = 1.0 if (chosen in gold if isinstance(gold, list) else chosen == gold) else 0.0
    answers = [[ll, False] for ll in every]
    return row(release, question.number, question.doc, question.gold, requests, answers, scores)


def row(
    release: Release,
    number: int,
    doc: object,
    target: object,
    requests: Sequence[Sequence[object]],
    answers: Sequence[object],
    scores: Mapping[str, object],
    chosen: str = "none",
) -> Row:
    """A row before it is written: `evaluator.evaluate`, then `save_results_samples`."""
    digest = hashlib.sha256(json.dumps(doc, indent=2, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()
    found: Row = {"doc_id": number, "doc": doc, "target": target if release.typed else str(target)}
    if release.listed:
        found |= {"arguments": requests, "resps": [[answer] for answer in answers], "filtered_resps": answers}
    else:
        named = {f"gen_args_{i}": {f"arg_{j}": item for j, item in enumerate(r)} for i, r in enumerate(requests)}
        texts = as_texts(answers)
        found |= {"arguments": named, "resps": [[answer] for answer in texts], "filtered_resps": texts}
    if release.filtered:
        found |= {"filter": chosen, "metrics": list(scores)}
    if release.hashed:
        found |= {"doc_hash": digest, "prompt_hash": "p", "target_hash": "t"}
    return found | dict(scores)


def as_texts(value: Any) -> Any:
    """As `sanitize_list`."""
    return [as_texts(item) for item in value] if isinstance(value, list | tuple) else str(value)


def write(release: Release, path: Path, rows: Sequence[Row], ascii_only: bool = False) -> Path:
    """A log; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if release.listed:
        text = json.dumps(rows, indent=2, ensure_ascii=ascii_only)
    else:
        text = "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
    return path
