"""Streams of other updates on the tasks of an existing stream: compression, forgetting, new releases in between."""

from clbench.core.registry import LOADERS
from clbench.spec.stream import Stream
from clbench.streams.borrowed_tasks import borrow_tasks
from clbench.streams.card import DataChoice, StreamCard


@LOADERS.register("based-on")
def load_based_on(card: StreamCard, choice: DataChoice) -> Stream:
    """A stream whose tasks are those of `based_on`; its own card says which updates there are.

    Raises:
        ConfigError: For an invalid card, or tasks that the other stream does not have.
        RegistryError: For an unknown stream.
        DataError: For missing data.
    """
    return borrow_tasks(card, choice)
