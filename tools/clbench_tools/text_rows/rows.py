"""Rows of a stream: choosing them without near-duplicates, and writing them."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, Features, Value

from clbench.core.storage import written_whole
from clbench_tools.text_rows.near import distinct
from clbench_tools.text_rows.passages import whole


@dataclass(frozen=True)
class Task:
    """One classification.

    Attributes:
        prompt: Stands before each text.
        words: The answer for each class, as the source names it; the label is its position.
    """

    prompt: str
    words: dict[str, str]

    @property
    def answers(self) -> list[str]:
        """The answers by label."""
        return list(self.words.values())


@dataclass(frozen=True)
class Row:
    """One sample: `key` names it in its source, `text` is the input without its prompt."""

    key: str
    text: str
    label: int

    @property
    def document(self) -> str:
        """Key of the document that the text is from."""
        return whole(self.key)


Candidates = dict[str, list[list[Row]]]
"""Part to rows by label, in the order in which they are taken."""

Chosen = dict[str, dict[str, list[Row]]]
"""Task and part to rows."""


def choose(
    tasks: Mapping[str, Task],
    candidates: Mapping[str, Candidates],
    sizes: Mapping[str, int],
    rng: np.random.Generator,
) -> Chosen:
    """The rows of each part of each task: no two nearly the same in the stream, classes as even as they can be.

    Args:
        tasks: By name.
        candidates: Of each task.
        sizes: Rows of each part, in the order of choice: of two near-duplicates the first part keeps one.
        rng: Shuffles the rows of a part.
    """
    places = [(part, task) for part in sizes for task in candidates]
    pool = [
        (part, task, row)
        for part, task in places
        for rows in candidates[task][part]
        for row in rows[: 3 * sizes[part] // len(tasks[task].answers)]
    ]
    left: dict[tuple[str, str], list[Row]] = {place: [] for place in places}
    for index in distinct([row.text for _, _, row in pool]):
        part, task, row = pool[index]
        left[part, task].append(row)
    chosen: Chosen = {task: {} for task in candidates}
    for part, task in places:
        taken = _even(left[part, task], sizes[part])
        chosen[task][part] = [taken[i] for i in rng.permutation(len(taken))]
    return chosen


def _even(rows: list[Row], size: int) -> list[Row]:
    """Rows of all classes in turn, until there are enough."""
    labels = sorted({row.label for row in rows})
    turns = zip_longest(*([row for row in rows if row.label == label] for label in labels))
    return [row for turn in turns for row in turn if row is not None][:size]


def write_rows(name: str, task: Task, rows: list[Row], path: Path) -> None:
    """Write one part; the Hugging Face features travel in the file's metadata.

    Args:
        name: Of the task; begins the ids of the samples.
        task: Gives prompt and answers.
        rows: Of the part.
        path: Parquet file.
    """
    label = ClassLabel(names=task.answers)
    features = Features(
        {"sample_id": Value("string"), "text": Value("string"), "answer": Value("string"), "label": label}
    )
    columns = {
        "sample_id": [f"{name}/{row.key}" for row in rows],
        "text": [task.prompt + row.text for row in rows],
        "answer": [task.answers[row.label] for row in rows],
        "label": [row.label for row in rows],
    }
    with written_whole(path) as aside:
        Dataset.from_dict(columns, features=features).to_parquet(str(aside))
