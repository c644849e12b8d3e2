"""What a stream's card says, checked, and the stream made from it."""

from pathlib import Path
from typing import cast

from pydantic import Field

from clbench.cards import STREAM_CARDS
from clbench.config import Config, validate
from clbench.contracts.stream import Protocol, Stream
from clbench.contracts.task import Kind
from clbench.errors import ConfigError
from clbench.registry import LOADERS


class TaskCard(Config):
    """One task of a stream."""

    name: str = Field(min_length=1, description="Unique in the stream.")
    kind: Kind = Field(description="What is asked of the model.")
    metric: str = Field(description="Name of the per-sample score.")
    templates: tuple[str, ...] = Field(("{}",), min_length=1, description="Prompts with `{}` for the class name.")
    description: str = Field("", description="What the samples are, part by part.")


class LicenceCard(Config):
    """Where data come from and on which terms."""

    source: str
    licence: str
    version: str = ""


class StreamCard(Config):
    """A stream: data, order, prompts, protocols, licences."""

    name: str = Field(min_length=1)
    description: str
    loader: str = Field(description="Registered loader that reads the data.")
    data: str = Field(description="Folder of the data, relative to the card.")
    learner: str = Field(description="Learner that is used when a suite names none.")
    protocols: tuple[Protocol, ...] = Field(
        min_length=1, description="How test samples are told apart; the first is the headline."
    )
    order_reason: str = Field(description="Why the tasks come in this order.")
    tasks: tuple[TaskCard, ...] = Field(min_length=1, description="In training order.")
    licences: tuple[LicenceCard, ...] = ()
    citations: tuple[str, ...] = ()


def load_stream(name: str) -> Stream:
    """The stream of that name, or of the card in a YAML file; data are read when they are first needed.

    Raises:
        RegistryError: For an unknown name.
        ConfigError: For a card that does not fit.
        DataError: For data that are missing.
    """
    file = STREAM_CARDS.get(name)
    card = validate(StreamCard, file.values, f"stream {file.path.name}")
    names = [task.name for task in card.tasks]
    if len(set(names)) < len(names):
        raise ConfigError(f"stream {file.path.name}: two tasks are named {max(names, key=names.count)!r}")
    loader = LOADERS.get(card.loader).value
    return cast(Stream, loader(card, file.path.parent / Path(card.data)))
