"""Streams of model updates: successive releases of a model, tested on the tasks of another stream."""

from clbench.core.errors import ConfigError, did_you_mean
from clbench.core.registry import LEARNERS, LOADERS
from clbench.spec.stream import Stream
from clbench.spec.task import Task
from clbench.streams.card import HUB, DataChoice, StreamCard, TaskCard, load_stream


@LOADERS.register("releases")
def load_releases(card: StreamCard, choice: DataChoice) -> Stream:
    """A stream whose tasks are those of `based_on` and whose versions are `releases`.

    Raises:
        ConfigError: For an invalid card, or tasks that the other stream does not have.
        RegistryError: For an unknown stream or learner.
        DataError: For missing data.
    """
    _check(card)
    assert card.based_on is not None
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
        releases=card.releases,
    )


def _check(card: StreamCard) -> None:
    where = f"stream {card.name}"
    if card.based_on is None:
        raise ConfigError(f"{where}: based_on is missing (wanted the stream whose tasks are taken)")
    if len(set(card.releases)) < max(2, len(card.releases)):
        raise ConfigError(f"{where}: releases must be at least two different learners, got {list(card.releases)}")
    for release in card.releases:
        LEARNERS.listing(release.partition(":")[0])
    if card.learner != card.releases[0]:
        raise ConfigError(f"{where}: learner must be the first release {card.releases[0]!r}, got {card.learner!r}")
    if "union" in card.protocols:
        raise ConfigError(f"{where}: protocol union does not fit: a task's adapter is chosen, so the task is known")
    for name in ("data", "limits", "shots"):
        if getattr(card, name) is not None:
            raise ConfigError(f"{where}: {name} belongs into the card of {card.based_on!r}")


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
