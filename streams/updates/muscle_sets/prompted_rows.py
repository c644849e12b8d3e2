"""Prompts, choices and answers of the sets' rows, equal to those of lm-evaluation-harness."""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from clbench.streams.updates.muscle_sets.muscle_set_facts import MuscleSetName

BRACKETS = re.compile(r"\[.*?\]")


class Asked(NamedTuple):
    """A sample.

    Attributes:
        text: The whole input.
        answer: Expected answer.
        choices: Possible answers; empty where the answer is free text.
        label: Index of the right choice, from 0.
    """

    text: str
    answer: str
    choices: tuple[str, ...] = ()
    label: int = 0


def piqa(row: Mapping[str, Any]) -> Asked:
    """The goal as a question, two solutions."""
    return _chosen(f"Question: {row['goal']}\nAnswer:", (row["sol1"], row["sol2"]), row["label"])


def hellaswag(row: Mapping[str, Any]) -> Asked:
    """Activity and scene, four endings; the markup of the rows from WikiHow is removed."""
    scene = f"{row['activity_label']}: {row['ctx_a']} {row['ctx_b'].capitalize()}"
    return _chosen(_without_marks(scene), tuple(map(_without_marks, row["endings"])), row["label"])


def gsm8k(row: Mapping[str, Any]) -> Asked:
    """The question; the answer with its steps and, after `####`, its number."""
    return Asked(f"Question: {row['question']}\nAnswer:", row["answer"])


def samsum(row: Mapping[str, Any]) -> Asked:
    """The dialogue; the summary. The prompt was not published; ours has the words at which the paper stops decoding."""
    dialogue, summary = (str(row[name] or "").replace("\r\n", "\n").strip() for name in ("dialogue", "summary"))
    return Asked(f"Dialogue:\n{dialogue}\nSummary:" if dialogue else "", summary)


ASK: Mapping[MuscleSetName, Callable[[Mapping[str, Any]], Asked]] = {
    "piqa": piqa,
    "hellaswag": hellaswag,
    "gsm8k": gsm8k,
    "samsum": samsum,
}


def _chosen(text: str, choices: tuple[str, ...], label: object) -> Asked:
    right = int(str(label))  # HellaSwag has its labels as texts
    if not 0 <= right < len(choices):
        raise ValueError(f"wanted a label from 0 to {len(choices) - 1}, got {right}")
    return Asked(text, choices[right], choices, right)


def _without_marks(text: str) -> str:
    text = text.strip().replace(" [title]", ". ")
    return BRACKETS.sub("", text).replace("  ", " ")
