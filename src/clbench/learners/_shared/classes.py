"""Classes of tasks: their labels, their positions among the classes of all tasks, and predictions of them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from clbench.contracts import Predictions, Task
from clbench.core.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset


def labels_of(rows: "Dataset", task: Task) -> Tensor:
    """The column `label` as `(n,)` int64.

    Raises:
        DataError: For a label outside the task's classes.
    """
    labels = torch.tensor(rows["label"][:], dtype=torch.int64)
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(task.classes):
        got = f"{int(labels.min())} to {int(labels.max())}"
        raise DataError(f"task {task.name!r}: labels must be 0 to {len(task.classes) - 1}, got {got}")
    return labels


def class_spans(tasks: Sequence[Task]) -> dict[str, tuple[int, int]]:
    """First and last position (exclusive) of each task's classes among the classes of all tasks, by task name."""
    spans: dict[str, tuple[int, int]] = {}
    start = 0
    for task in tasks:
        spans[task.name] = (start, start := start + len(task.classes))
    return spans


def union_names(tasks: Sequence[Task]) -> list[str]:
    """Names of the classes of all tasks, each with its task, as the ledger has them under the protocol `union`."""
    return [f"{task.name}: {name}" for task in tasks for name in task.classes]


def most_likely(probabilities: Tensor, target: Tensor, names: Sequence[str], keep: bool = False) -> Predictions:
    """Predict the class of the highest probability.

    Args:
        probabilities: `(n, classes)`.
        target: True classes `(n,)` int64.
        names: Names of the classes.
        keep: Whether the predictions carry the probabilities of all classes to the ledger.
    """
    confidence, prediction = probabilities.max(dim=-1)
    correct, kept = prediction == target, probabilities if keep else None
    return Predictions(prediction, target, names, correct=correct, confidence=confidence, probabilities=kept)
