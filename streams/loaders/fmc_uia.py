"""Data in the layout of the challenge FMC_UIA, real ones and phantoms: `csv_files/*.csv` name pictures and truths."""

import os
from pathlib import Path

from pydantic import Field

from clbench.config import validate
from clbench.contracts.stream import Stream
from clbench.errors import DataError
from clbench.registry import LOADERS
from clbench.streams.card import DataChoice, StreamCard, TaskCard
from clbench.streams.ultrasound.answers import Answers
from clbench.streams.ultrasound.fmc_layout import FOLDER, read_tasks, rows_of
from clbench.streams.ultrasound.parts import refuse_shared_patients
from clbench.streams.ultrasound.tasks import TaskRows


class FmcSource(Answers):
    """What `fmc-uia` needs to know of a task."""

    task_id: str = Field(min_length=1, description="As the CSV files have it.")


@LOADERS.register("fmc-uia", config=FmcSource)
def load_fmc_uia(card: StreamCard, choice: DataChoice) -> Stream:
    """A stream of ultrasound tasks of several kinds; all CSV files are read at once, pictures when they are needed.

    Raises:
        ConfigError: For a task whose source does not fit.
        DataError: When there is no root, or tasks below it are missing or damaged.
    """
    sources = [source_of(card, task) for task in card.tasks]
    if choice.hub:
        raise DataError(f"--root hub: no copy of the data of {card.name!r} on the hub is known (wanted --root DIR)")
    if choice.folder is None:
        raise DataError(f"stream {card.name!r} has no data of its own: it needs --root DIR with its data")
    root = Path(os.path.normpath(choice.folder.absolute()))
    found = _find_all(card, sources, root)
    refuse_shared_patients((row for item in found for row in item.rows), root)
    tasks = tuple(item.made(task) for task, item in zip(card.tasks, found, strict=True))
    return Stream(card.name, tasks, card.protocols, card.learner, card.model_dump(mode="json"))


def source_of(card: StreamCard, task: TaskCard) -> FmcSource:
    """A task's source, checked.

    Raises:
        ConfigError: For one that does not fit.
    """
    return validate(FmcSource, {**task.source, "kind": task.kind}, f"stream {card.name}: task {task.name}: source")


def _find_all(card: StreamCard, sources: list[FmcSource], root: Path) -> list[TaskRows]:
    listed = read_tasks(root)
    missing = [source.task_id for source in sources if source.task_id not in listed]
    if len(missing) > 1:
        raise DataError(
            f"{root}: {len(missing)} of {len(sources)} tasks of {card.name!r} are missing: {', '.join(missing)}"
            f" (`clbench data check {card.name} --root {root}` says what is there)"
        )
    return [
        TaskRows(task.name, source, root, root / FOLDER, rows_of(root, source.task_id, rows, source))
        for task, source in zip(card.tasks, sources, strict=True)
        for rows in [listed.get(source.task_id, [])]
    ]
