"""Streams of model updates: successive releases of a model, tested on the tasks of another stream."""

from clbench.core.errors import ConfigError
from clbench.core.registry import LEARNERS, LOADERS
from clbench.spec.stream import Stream
from clbench.streams.borrowed_tasks import borrow_tasks
from clbench.streams.card import DataChoice, StreamCard


@LOADERS.register("releases")
def load_releases(card: StreamCard, choice: DataChoice) -> Stream:
    """A stream whose tasks are those of `based_on` and whose versions are `releases`.

    Raises:
        ConfigError: For an invalid card, or tasks that the other stream does not have.
        RegistryError: For an unknown stream or learner.
        DataError: For missing data.
    """
    where = f"stream {card.name}"
    if card.based_on is not None and len(set(card.releases)) < max(2, len(card.releases)):
        raise ConfigError(f"{where}: releases must be at least two different learners, got {list(card.releases)}")
    for release in card.releases:
        LEARNERS.listing(release.partition(":")[0])
    if card.releases and card.learner != card.releases[0]:
        raise ConfigError(f"{where}: learner must be the first release {card.releases[0]!r}, got {card.learner!r}")
    if "union" in card.protocols:
        raise ConfigError(f"{where}: protocol union does not fit: a task's adapter is chosen, so the task is known")
    return borrow_tasks(card, choice)
