"""Texts with an answer that is a class name in Parquet: `<task>/{train,validation,test}.parquet`."""

import hashlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from clbench.core.errors import ConfigError, DataError, did_you_mean
from clbench.core.registry import LOADERS
from clbench.scoring.text.answers import SCORES
from clbench.spec.stream import Stream
from clbench.spec.task import Split, Task
from clbench.streams.card import DataChoice, StreamCard, TaskCard
from clbench.streams.loaders._parquet_files import ParquetParts, folder_of

if TYPE_CHECKING:
    from datasets import Dataset

COLUMNS = ("sample_id", "text", "answer", "label")


@LOADERS.register("text-parquet")
def load_text_parquet(card: StreamCard, choice: DataChoice) -> Stream:
    """A stream of text classification tasks from files that Hugging Face `datasets` wrote.

    Each file has the columns `sample_id`, `text` (the whole input, or what the card's `prompt` has for `{text}`),
    `answer` (strings) and `label` (ClassLabel, whose names are the answers).

    Raises:
        ConfigError: When the card has no limits, an unknown metric, or a prompt without `{text}`.
        DataError: When a file is missing, damaged or lacks a column.
    """
    if card.limits is None:
        raise ConfigError(f"stream {card.name}: limits is missing (wanted input_tokens and answer_tokens)")
    for task in card.tasks:
        if task.metric not in SCORES:
            hint = did_you_mean(task.metric, SCORES)
            raise ConfigError(f"stream {card.name}: task {task.name!r}: metric: unknown score {task.metric!r}: {hint}")
    if card.prompt is not None and card.prompt.count("{text}") != 1:
        raise ConfigError(f"stream {card.name}: prompt: wanted {{text}} once, got {card.prompt!r}")
    folder = folder_of(card, choice)
    tasks = tuple(_task(task, ParquetParts(folder / task.name, COLUMNS), card) for task in card.tasks)
    return Stream(card.name, tasks, card.protocols, card.learner, card.model_dump(mode="json"))


def _task(task: TaskCard, parts: ParquetParts, card: StreamCard) -> Task:
    load, fingerprint = partial(_rows_of, parts, card.prompt), partial(_fingerprint, parts, card.prompt)
    return Task(task.name, task.kind, task.metric, load, fingerprint, parts.classes, limits=card.limits)


def _fingerprint(parts: ParquetParts, prompt: str | None, split: Split) -> str:
    """A hash of a part's file, the classes and the prompt."""
    own = parts.fingerprint(split)
    return own if prompt is None else hashlib.sha256(f"{own} {prompt!r}".encode()).hexdigest()


def _rows_of(parts: ParquetParts, prompt: str | None, split: Split) -> "Dataset":
    from datasets import ClassLabel, Dataset, Features, Value
    from datasets.table import InMemoryTable

    text, label = Value("string"), ClassLabel(names=list(parts.classes))
    features = Features({"sample_id": text, "text": text, "answer": text, "label": label})
    table = parts.read(split, features.arrow_schema)
    _check(parts.path(split), table, parts.classes)
    if prompt is not None:
        before, after = prompt.replace("{options}", ", ".join(parts.classes)).split("{text}")
        prompted = pc.binary_join_element_wise(before, table["text"], after, "")
        table = table.set_column(table.schema.get_field_index("text"), "text", prompted)
    return Dataset(InMemoryTable(table))


def _check(path: Path, table: pa.Table, classes: tuple[str, ...]) -> None:
    """Refuse empty texts, and answers that are not the class name of their label."""
    row = pc.index(pc.equal(pc.utf8_trim_whitespace(table["text"]), ""), True).as_py()
    if row >= 0:
        raise DataError(f"{path}: row {row}: the text is empty")
    names = pc.take(pa.array(classes), table["label"])
    row = pc.index(pc.equal(table["answer"], names), False).as_py()
    if row >= 0:
        wanted, got = names[row].as_py(), table["answer"][row].as_py()
        raise DataError(f"{path}: row {row}: the answer must be {wanted!r}, got {got!r}")
