"""Public ultrasound data sets below one root, each in its published layout."""

from collections.abc import Iterator
from functools import partial
from itertools import chain

from pydantic import Field

from clbench.core.config import Config, validate
from clbench.core.errors import ConfigError, did_you_mean
from clbench.core.registry import LOADERS
from clbench.spec.stream import Stream
from clbench.streams.card import DataChoice, StreamCard, TaskCard, users_root
from clbench.streams.missing_data import find_all
from clbench.streams.ultrasound.sets.known_ultrasound_sets import SETS, open_task
from clbench.streams.ultrasound.ultrasound_tasks import TaskRows, refuse_shared_patients


class UltrasoundSource(Config):
    """Settings of a task for `ultrasound-sets`."""

    dataset: str = Field(description="Which data set.")
    task: str = Field(description="Which of the set's tasks.")


@LOADERS.register("ultrasound-sets", config=UltrasoundSource, check="clbench.streams.ultrasound.check_ultrasound_sets")
def load_ultrasound_sets(card: StreamCard, choice: DataChoice) -> Stream:
    """A stream of tasks on public data sets; their lists are read at once, images when they are needed.

    Raises:
        ConfigError: For a task with an invalid source.
        DataError: When there is no root, or sets below it are missing or damaged.
    """
    sources = [source_of(card, task) for task in card.tasks]
    root = users_root(card, choice)
    named = zip(card.tasks, sources, strict=True)
    found = find_all(
        card, root, [(t.name, partial(open_task, root, t.name, s.dataset, s.task)) for t, s in named], "tasks"
    )
    refuse_shared_patients(chain.from_iterable(item.patients() for item in found))
    tasks = tuple(item.made(task) for task, item in zip(card.tasks, found, strict=True))
    data_deviations = tuple(
        f"{item.task}: {line}"
        for source, item in zip(sources, found, strict=True)
        for line in data_deviations_of(source, item)
    )
    return Stream(card.name, tasks, card.protocols, card.learner, card.model_dump(mode="json"), data_deviations)


def source_of(card: StreamCard, task: TaskCard) -> UltrasoundSource:
    """A task's source, checked.

    Raises:
        ConfigError: For an invalid source.
    """
    where = f"stream {card.name}: task {task.name}"
    source = validate(UltrasoundSource, task.source, f"{where}: source")
    if source.dataset not in SETS:
        raise ConfigError(f"{where}: source: unknown dataset {source.dataset!r}: {did_you_mean(source.dataset, SETS)}")
    known = SETS[source.dataset].tasks
    if source.task not in known:
        raise ConfigError(f"{where}: source: unknown task {source.task!r}: {did_you_mean(source.task, known)}")
    if known[source.task].kind != task.kind:
        raise ConfigError(f"{where}: kind must be {known[source.task].kind}, got {task.kind}")
    known[source.task].check_metric(task.metric, where)
    return source


def data_deviations_of(source: UltrasoundSource, found: TaskRows) -> Iterator[str]:
    """Differences from the published number of images."""
    wanted = SETS[source.dataset].sizes.get(source.task)
    if wanted is not None and len(found.rows) != wanted:
        yield f"wanted the published {wanted:,} images, got {len(found.rows):,}"
