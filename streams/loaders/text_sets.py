"""Published text data sets below one root: the standard and long sequences of O-LoRA's CL_Benchmark, and TRACE."""

from functools import partial
from typing import TYPE_CHECKING

from pydantic import Field

from clbench.core.config import Config, validate
from clbench.core.errors import ConfigError, did_you_mean
from clbench.core.registry import LOADERS
from clbench.scoring.text.answers import SCORES
from clbench.spec.stream import Stream
from clbench.spec.task import Split, Task, TextLimits
from clbench.streams.card import DataChoice, StreamCard, TaskCard, users_root
from clbench.streams.missing_data import find_all
from clbench.streams.text_sequences.text_sets.found_text_set import FoundTextSet, find_set
from clbench.streams.text_sequences.text_sets.olora_prompts import prompt
from clbench.streams.text_sequences.text_sets.text_set_facts import CollectionName, collection

if TYPE_CHECKING:
    from datasets import Dataset


class TextSource(Config):
    """Settings of a task for `text-sets`."""

    collection: CollectionName = Field(description="Source of the files.")
    dataset: str = Field(description="Which data set of it.")


@LOADERS.register("text-sets", config=TextSource, check="clbench.streams.text_sequences.text_sets.check_text_sets")
def load_text_sets(card: StreamCard, choice: DataChoice) -> Stream:
    """A stream of published text data sets in their published layouts.

    All files are read once to compare them with the published sizes; rows are made when they are needed.

    Raises:
        ConfigError: For an invalid card.
        DataError: When there is no root, or data sets below it are missing or damaged.
    """
    limits = _limits(card)
    sources = [source_of(card, task) for task in card.tasks]
    root = users_root(card, choice)
    found = find_all(
        card, root, [(s.dataset, partial(find_set, root, collection(s.collection), s.dataset)) for s in sources]
    )
    tasks = tuple(_task(task, item, limits) for task, item in zip(card.tasks, found, strict=True))
    data_deviations = tuple(
        f"{item.name}: {line}" for item in found for line in (*item.data_deviations(), *item.left_out())
    )
    return Stream(card.name, tasks, card.protocols, card.learner, card.model_dump(mode="json"), data_deviations)


def source_of(card: StreamCard, task: TaskCard) -> TextSource:
    """A task's source, checked.

    Raises:
        ConfigError: For an invalid source.
    """
    where = f"stream {card.name}: task {task.name}"
    source = validate(TextSource, task.source, f"{where}: source")
    known = collection(source.collection).sets
    if source.dataset not in known:
        raise ConfigError(f"{where}: source: unknown dataset {source.dataset!r}: {did_you_mean(source.dataset, known)}")
    if task.metric not in SCORES:
        raise ConfigError(f"{where}: metric: unknown score {task.metric!r}: {did_you_mean(task.metric, SCORES)}")
    return source


def _limits(card: StreamCard) -> TextLimits:
    if card.limits is None:
        raise ConfigError(f"stream {card.name}: limits is missing (wanted input_tokens and answer_tokens)")
    return card.limits


def _task(card: TaskCard, found: FoundTextSet, limits: TextLimits) -> Task:
    load = partial(_rows, card.name, found)
    return Task(card.name, card.kind, card.metric, load, found.fingerprint, found.labels, limits=limits)


def _rows(task: str, found: FoundTextSet, split: Split) -> "Dataset":
    """Rows `sample_id`, `text`, `answer` and, where answers are classes, `label`; ids are the row numbers."""
    from datasets import ClassLabel, Dataset, Features, Value

    rows, stem = found.rows(split), found.path(split).stem
    columns: dict[str, list[str] | list[int]] = {
        "sample_id": [f"{task}/{stem}/{row.number:05d}" for row in rows],
        "text": [prompt(found.collection, found.name, row.text) for row in rows],
        "answer": [row.answer for row in rows],
    }
    features = dict.fromkeys(columns, Value("string"))
    if found.labels:
        place = {label: number for number, label in enumerate(found.labels)}
        columns["label"] = [place[row.answer] for row in rows]
        features["label"] = ClassLabel(names=list(found.labels))
    return Dataset.from_dict(columns, features=Features(features))
