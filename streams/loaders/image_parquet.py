"""Images with class labels in Parquet: `<task>/{train,validation,test}.parquet`."""

from functools import partial
from typing import TYPE_CHECKING

from clbench.core.registry import LOADERS
from clbench.spec.stream import Stream
from clbench.spec.task import Split, Task
from clbench.streams.card import DataChoice, StreamCard, TaskCard
from clbench.streams.loaders._parquet_files import ParquetParts, folder_of

if TYPE_CHECKING:
    from datasets import Dataset

COLUMNS = ("sample_id", "image", "label")


@LOADERS.register("image-parquet")
def load_image_parquet(card: StreamCard, choice: DataChoice) -> Stream:
    """A stream of image classification tasks from files that Hugging Face `datasets` wrote.

    Each file has the columns `sample_id` (string), `image` (Image), `label` (ClassLabel, whose names are the classes).

    Raises:
        DataError: When a file is missing, damaged or lacks a column.
    """
    folder = folder_of(card, choice)
    tasks = tuple(_task(task, ParquetParts(folder / task.name, COLUMNS)) for task in card.tasks)
    return Stream(card.name, tasks, card.protocols, card.learner, card.model_dump(mode="json"))


def _task(card: TaskCard, parts: ParquetParts) -> Task:
    load = partial(_rows_of, parts)
    templates = card.templates or ("{}",)
    return Task(card.name, card.kind, card.metric, load, parts.fingerprint, parts.classes, templates)


def _rows_of(parts: ParquetParts, split: Split) -> "Dataset":
    from datasets import ClassLabel, Dataset, Features, Image, Value
    from datasets.table import InMemoryTable

    label = ClassLabel(names=list(parts.classes))
    features = Features({"sample_id": Value("string"), "image": Image(), "label": label})
    return Dataset(InMemoryTable(parts.read(split, features.arrow_schema)))
