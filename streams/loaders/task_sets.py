"""PIQA, HellaSwag, GSM8K and SAMSum: from the Hugging Face hub, or from copies of its repositories below one root."""

from functools import partial

from pydantic import Field

from clbench.core.config import Config, validate
from clbench.core.errors import ConfigError, DataError, did_you_mean
from clbench.core.registry import LOADERS
from clbench.scoring.text.answers import SCORES
from clbench.spec.stream import Stream
from clbench.spec.task import CHOICE_METRICS, Task
from clbench.streams.card import DataChoice, StreamCard, TaskCard
from clbench.streams.missing_data import find_all
from clbench.streams.updates.muscle_sets.found_muscle_set import TaskSet, open_set
from clbench.streams.updates.muscle_sets.muscle_set_facts import MuscleSetName

CHOOSING = ("piqa", "hellaswag")
"""Sets whose samples each have their own choices."""


class MuscleSource(Config):
    """Settings of a task for `task-sets`."""

    dataset: MuscleSetName = Field(description="Which data set.")


@LOADERS.register("task-sets", config=MuscleSource, check="clbench.streams.updates.muscle_sets.check_muscle_sets")
def load_task_sets(card: StreamCard, choice: DataChoice) -> Stream:
    """A stream of the tasks on which published model updates were compared.

    All rows are read once to compare their numbers with the published ones.

    Raises:
        ConfigError: For an invalid card.
        DataError: When there is no root, or data sets are missing or damaged.
    """
    _check(card)
    sources = [source_of(card, task) for task in card.tasks]
    if choice.folder is None and not choice.hub:
        raise DataError(f"stream {card.name!r} has no data of its own: it needs --root DIR with its data sets, or hub")
    root = None if choice.hub or choice.folder is None else choice.folder.absolute()
    found = find_all(card, root, [(source.dataset, partial(open_set, source.dataset, root)) for source in sources])
    tasks = tuple(_task(card, task, item) for task, item in zip(card.tasks, found, strict=True))
    commits = {task.name: f"{item.repo} {item.commit}" for task, item in zip(card.tasks, found, strict=True)}
    values = {**card.model_dump(mode="json"), **({"hub": commits} if choice.hub else {})}
    data_deviations = tuple(f"{item.name}: {line}" for item in found for line in item.data_deviations())
    return Stream(card.name, tasks, card.protocols, card.learner, values, data_deviations)


def source_of(card: StreamCard, task: TaskCard) -> MuscleSource:
    """A task's source, checked.

    Raises:
        ConfigError: For an invalid source.
    """
    where = f"stream {card.name}: task {task.name}"
    source = validate(MuscleSource, task.source, f"{where}: source")
    known = CHOICE_METRICS if source.dataset in CHOOSING else tuple(SCORES)
    if task.metric not in known:
        raise ConfigError(f"{where}: metric: unknown score {task.metric!r}: {did_you_mean(task.metric, known)}")
    return source


def _check(card: StreamCard) -> None:
    if card.limits is None:
        raise ConfigError(f"stream {card.name}: limits is missing (wanted input_tokens and answer_tokens)")
    if card.protocols != ("task-id",):
        got = ", ".join(card.protocols)
        raise ConfigError(
            f"stream {card.name}: protocols must be [task-id]: each task has a prompt of its own; got {got}"
        )


def _task(card: StreamCard, task: TaskCard, found: TaskSet) -> Task:
    load = partial(found.load, task=task.name)
    return Task(task.name, task.kind, task.metric, load, found.fingerprint, limits=card.limits)
