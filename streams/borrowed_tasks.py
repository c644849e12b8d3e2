"""Tasks that a stream takes from another stream, with their data and limits."""

from clbench.core.errors import ConfigError, did_you_mean
from clbench.spec.stream import Stream
from clbench.spec.task import Task
from clbench.streams.card import HUB, DataChoice, StreamCard, TaskCard, load_stream


def borrow_tasks(card: StreamCard, choice: DataChoice) -> Stream:
    """The stream of a card whose tasks are those of the same names in the stream `based_on`.

    Raises:
        ConfigError: Without `based_on`, for what belongs into the card of that stream, or tasks that it does not have.
        RegistryError: For an unknown stream.
        DataError: For missing data.
    """
    where = f"stream {card.name}"
    if card.based_on is None:
        raise ConfigError(f"{where}: based_on is missing (wanted the stream whose tasks are taken)")
    for name in ("data", "limits", "prompt", "shots"):
        if getattr(card, name) is not None:
            raise ConfigError(f"{where}: {name} belongs into the card of {card.based_on!r}")
    root = HUB if choice.hub else None if choice.folder is None else str(choice.folder)
    base = load_stream(card.based_on, root, choice.seed)
    tasks = tuple(_taken(card, task, base) for task in card.tasks)
    return Stream(
        card.name,
        tasks,
        card.protocols,
        card.learner,
        card.model_dump(mode="json"),
        data_deviations=base.data_deviations,
    )


def _taken(card: StreamCard, wanted: TaskCard, base: Stream) -> Task:
    """The other stream's task of that name, which must agree with the card."""
    where = f"stream {card.name}, task {wanted.name!r}"
    known = {task.name: task for task in base.tasks}
    if wanted.name not in known:
        raise ConfigError(f"{where}: {base.name} has no such task: {did_you_mean(wanted.name, known)}")
    task = known[wanted.name]
    if (task.kind, task.metric) != (wanted.kind, wanted.metric) or wanted.templates or wanted.source:
        got = f"{wanted.kind} by {wanted.metric}"
        raise ConfigError(f"{where}: must be as in {base.name}: {task.kind} by {task.metric}, got {got}")
    return task
