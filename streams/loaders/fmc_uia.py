"""Data in the layout of the challenge FMC_UIA: `csv_files/*.csv` list images and their truth."""

from collections.abc import Mapping
from functools import partial
from itertools import chain
from pathlib import Path

from pydantic import Field

from clbench.core.registry import LOADERS
from clbench.spec.stream import Stream
from clbench.streams.card import DataChoice, StreamCard, TaskCard, users_root
from clbench.streams.missing_data import find_all
from clbench.streams.ultrasound.csv_rows import CsvRow
from clbench.streams.ultrasound.fmc_layout import FOLDER, read_tasks, rows_of
from clbench.streams.ultrasound.task_sources import Answers, answers_of
from clbench.streams.ultrasound.ultrasound_tasks import TaskRows, refuse_shared_patients


class FmcSource(Answers):
    """Settings of a task for `fmc-uia`."""

    task_id: str = Field(min_length=1, description="Id of the task in the CSV files.")


@LOADERS.register("fmc-uia", config=FmcSource, check="clbench.streams.ultrasound.check_fmc")
def load_fmc_uia(card: StreamCard, choice: DataChoice) -> Stream:
    """A stream of ultrasound tasks of several kinds; all CSV files are read at once, images when they are needed.

    Raises:
        ConfigError: For a task with an invalid source.
        DataError: When there is no root, or tasks below it are missing or damaged.
    """
    sources = [source_of(card, task) for task in card.tasks]
    root = users_root(card, choice)
    listed = read_tasks(root)
    named = zip(card.tasks, sources, strict=True)
    found = find_all(card, root, [(t.name, partial(task_rows, root, t.name, s, listed)) for t, s in named], "tasks")
    refuse_shared_patients(chain.from_iterable(item.patients() for item in found))
    tasks = tuple(item.made(task) for task, item in zip(card.tasks, found, strict=True))
    return Stream(card.name, tasks, card.protocols, card.learner, card.model_dump(mode="json"))


def source_of(card: StreamCard, task: TaskCard) -> FmcSource:
    """A task's source, checked.

    Raises:
        ConfigError: For an invalid source.
    """
    return answers_of(card, task, FmcSource)


def task_rows(root: Path, name: str, source: FmcSource, listed: Mapping[str, list[CsvRow]]) -> TaskRows:
    """The images of one task.

    Args:
        root: Folder with `csv_files` in it.
        name: Name of the task.
        source: Settings of the task.
        listed: Rows of all CSV files by task id.

    Raises:
        MissingSetError: When no CSV file has rows of it.
        DataError: When a row is not what the task asks for, naming file and row.
    """
    rows = rows_of(root, source.task_id, listed.get(source.task_id, []), source)
    return TaskRows(name, source, root, root / FOLDER, rows)
