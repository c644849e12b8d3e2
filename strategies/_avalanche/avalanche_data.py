"""Avalanche datasets of sample positions instead of samples.

A position is one int64: the number of the task (in the order of learning) and the row among the task's training
samples. Positions are cheap to collate, shuffle, replay and save, and work for images and texts alike.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

if TYPE_CHECKING:
    from avalanche.benchmarks.utils import AvalancheDataset

ROW_BITS = 32
"""Number of bits of the row in a position; the other bits are the task."""


def positions(task: int, rows: Tensor) -> Tensor:
    """Positions of the samples `rows` `(n,)` of task number `task`, `(n,)` int64."""
    return (task << ROW_BITS) + rows.long()


def owners_and_rows(at: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse of `positions`: task numbers and rows, both `(n,)`."""
    return at >> ROW_BITS, at & ((1 << ROW_BITS) - 1)


def dataset_of(at: Tensor, labels: Tensor, logits: Tensor | None = None) -> "AvalancheDataset":
    """An Avalanche classification dataset of positions.

    All task labels are 0. In Avalanche a task label selects a head of a multi-head model, and ours is one model over
    the classes of all tasks. With other labels LwF, for example, would distil the classes of task 0 only.

    Args:
        at: Positions of samples, `(n,)`.
        labels: Classes, numbered through all tasks, `(n,)`.
        logits: Scores `(n, classes)`, yielded after the task label for DER's memory.
    """
    from avalanche.benchmarks.utils import DataAttribute, TaskAwareSupervisedClassificationDataset, TaskLabels
    from avalanche.benchmarks.utils.flat_data import ConstantSequence, FlatData

    attributes = [DataAttribute(labels.tolist(), "targets"), TaskLabels(ConstantSequence(0, len(at)))]
    if logits is not None:
        kept = FlatData([list(logits)], discard_elements_not_in_indices=True)
        attributes.append(DataAttribute(kept, "logits", use_in_getitem=True))
    return TaskAwareSupervisedClassificationDataset([TensorDataset(at, labels)], data_attributes=attributes)


def columns_of(dataset: "AvalancheDataset") -> tuple[Tensor, ...]:
    """The inverse of `dataset_of`: positions, labels and, if the dataset has them, logits."""
    rows = [dataset[index] for index in range(len(dataset))]
    found = [torch.tensor([int(row[column]) for row in rows], dtype=torch.int64) for column in (0, 1)]
    if rows and len(rows[0]) > 3:
        found.append(torch.stack([row[3] for row in rows]))
    return tuple(found)
