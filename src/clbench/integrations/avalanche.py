"""A stream as an Avalanche benchmark, for people who have their own Avalanche code."""

from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from clbench.core.errors import ConfigError
from clbench.core.image_reading import read_cell, undecoded
from clbench.spec.stream import Stream
from clbench.spec.task import Split, Task

if TYPE_CHECKING:
    from avalanche.benchmarks import CLScenario
    from avalanche.benchmarks.utils import AvalancheDataset


class Images(Dataset[tuple[Tensor, int]]):
    """Labelled images: kept as uint8, which takes a quarter of the memory, and read as numbers in [0, 1].

    Args:
        images: `(n, 3, size, size)` uint8.
        labels: `(n,)` int64.
    """

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self._images = images
        self._labels = labels.tolist()

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._images[index].float() / 255, self._labels[index]


def scenario_of(stream: Stream, size: int) -> "CLScenario":
    """The train and the test stream of an Avalanche benchmark, with one experience for each task.

    Args:
        stream: A stream whose tasks are all classification of images.
        size: Images are resized to `size` x `size`.

    Returns:
        A benchmark with task labels and class timelines; `Stream.to_avalanche` describes its samples.

    Raises:
        ConfigError: For a task of another kind, or a size below 1.
    """
    from avalanche.benchmarks import benchmark_from_datasets, with_classes_timeline, with_task_labels

    if size < 1:
        raise ConfigError(f"stream {stream.name!r}: size must be at least 1, got {size}")
    for task in stream.tasks:
        if task.kind != "classification" or not task.classes:
            raise ConfigError(
                f"stream {stream.name!r}: Avalanche gets classification only, task {task.name!r} is {task.kind}"
            )
    starts = [0, *accumulate(len(task.classes) for task in stream.tasks)]
    splits: tuple[Split, Split] = ("train", "test")
    experiences = {
        split: [_dataset(task, split, size, label, starts[label]) for label, task in enumerate(stream.tasks)]
        for split in splits
    }
    return with_task_labels(with_classes_timeline(benchmark_from_datasets(**experiences)))


def _dataset(task: Task, split: Split, size: int, task_label: int, start: int) -> "AvalancheDataset":
    """One split of one task; its labels are counted from `start`."""
    from avalanche.benchmarks.utils import DataAttribute, TaskAwareSupervisedClassificationDataset, TaskLabels
    from avalanche.benchmarks.utils.flat_data import ConstantSequence

    rows = task.load(split)
    if "image" not in rows.column_names:
        raise ConfigError(f"task {task.name!r}: Avalanche gets images only, the columns are {rows.column_names}")
    images = np.empty((len(rows), size, size, 3), dtype=np.uint8)
    for index, cell in enumerate(undecoded(rows)["image"]):
        images[index] = np.asarray(read_cell(cell).resize((size, size), Image.Resampling.BICUBIC))
    labels = torch.tensor(rows["label"][:], dtype=torch.int64) + start
    data = Images(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), labels)
    attributes = [DataAttribute(labels.tolist(), "targets"), TaskLabels(ConstantSequence(task_label, len(labels)))]
    return TaskAwareSupervisedClassificationDataset([data], data_attributes=attributes)
