"""What Avalanche's datasets hold here: where a sample is, not the sample.

A sample is one int64: the number of its task (in the order in which tasks were learnt) and its row among that task's
training samples. Collating, shuffling and replaying such numbers costs next to nothing, works for images and texts
alike, and a replay memory of them is saved in a few bytes.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

if TYPE_CHECKING:
    from avalanche.benchmarks.utils import AvalancheDataset

ROW_BITS = 32
"""Bits of the row in a position; the rest is the task."""


def positions(task: int, rows: Tensor) -> Tensor:
    """Where the samples `rows` `(n,)` of the task number `task` are, `(n,)` int64."""
    return (task << ROW_BITS) + rows.long()


def owners_and_rows(at: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse of `positions`: task numbers and rows, both `(n,)`."""
    return at >> ROW_BITS, at & ((1 << ROW_BITS) - 1)


def dataset_of(at: Tensor, labels: Tensor, logits: Tensor | None = None) -> "AvalancheDataset":
    """An Avalanche classification dataset of positions.

    The task label is 0 for all: in Avalanche it chooses a head of a multi-headed model, and ours is one model over the
    classes of all tasks. (With other labels, LwF for one would distil nothing but the classes of task 0.)

    Args:
        at: Positions `(n,)`.
        labels: Classes counted through all tasks `(n,)`.
        logits: Scores `(n, classes)` that are yielded after the task label, as DER's memory wants them.
    """
    from avalanche.benchmarks.utils import DataAttribute, TaskAwareSupervisedClassificationDataset, TaskLabels
    from avalanche.benchmarks.utils.flat_data import ConstantSequence, FlatData

    attributes = [DataAttribute(labels.tolist(), "targets"), TaskLabels(ConstantSequence(0, len(at)))]
    if logits is not None:
        kept = FlatData([list(logits)], discard_elements_not_in_indices=True)
        attributes.append(DataAttribute(kept, "logits", use_in_getitem=True))
    return TaskAwareSupervisedClassificationDataset([TensorDataset(at, labels)], data_attributes=attributes)


def columns_of(dataset: "AvalancheDataset") -> tuple[Tensor, ...]:
    """The inverse of `dataset_of`: positions and labels, and logits where the dataset has them."""
    rows = [dataset[index] for index in range(len(dataset))]
    found = [torch.tensor([int(row[column]) for row in rows], dtype=torch.int64) for column in (0, 1)]
    if rows and len(rows[0]) > 3:
        found.append(torch.stack([row[3] for row in rows]))
    return tuple(found)
