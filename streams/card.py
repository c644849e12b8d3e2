"""The card of a stream, and the stream made from it."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from pydantic import Field, field_validator

from clbench.core.cards import STREAM_CARDS
from clbench.core.config import Config, validate
from clbench.core.errors import ConfigError, DataError, did_you_mean
from clbench.core.registry import LOADERS
from clbench.kinds import TASK_KINDS
from clbench.spec.stream import EvalProtocol, Stream
from clbench.spec.task import TextLimits
from clbench.spec.update import Adopt, Learn, Update, check_updates, parse_update


class TaskCard(Config):
    """One task of a stream."""

    name: str = Field(min_length=1, description="Unique in the stream: letters, digits, `-`, `_`, `.`.")
    kind: str = Field(description="Kind of the task.")
    metric: str = Field(description="Name of the per-sample score.")
    templates: tuple[str, ...] = Field(
        (), description="Prompts with `{}` for the class name; the loader's own when empty."
    )
    description: str = Field("", description="What the samples show.")
    source: dict[str, object] = Field({}, description="Settings of the loader for this task.")

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", value):
            raise ValueError("letters, digits, dashes, underscores and dots, beginning with a letter or digit")
        return value

    @field_validator("kind")
    @classmethod
    def _is_a_kind(cls, value: str) -> str:
        if value not in (known := TASK_KINDS.names()):
            raise ValueError(f"a kind of task ({did_you_mean(value, known)})")
        return value


class LicenceCard(Config):
    """Source and licence of data."""

    source: str
    licence: str
    version: str = ""


class StreamCard(Config):
    """A stream: data, order, prompts, protocols, licences."""

    name: str = Field(min_length=1)
    description: str
    loader: str = Field(description="Registered loader that reads the data.")
    data: str | None = Field(None, description="Folder of the data, relative to the card; the user's root when absent.")
    learner: str = Field(description="Learner that is used when a suite names none.")
    releases: tuple[str, ...] = Field(
        (), description="Learners, in order of release, that are tested on the same tasks; empty for streams of tasks."
    )
    updates: tuple[dict[str, object], ...] = Field(
        (),
        description="What makes versions 1, 2, ...: `{learn: TASK}`, `{compress: {bits: 4}, parent: NAME}`, ...; "
        "each task is learnt in turn when absent.",
    )
    based_on: str | None = Field(
        None, description="Stream, or card, whose tasks of the same names are used, with their data and limits."
    )
    protocols: tuple[EvalProtocol, ...] = Field(
        min_length=1, description="How test samples are scored (task-id, union); the first is the headline."
    )
    order_reason: str = Field(description="Why the tasks come in this order.")
    limits: TextLimits | None = Field(None, description="Lengths of inputs and answers, for streams of texts.")
    prompt: str | None = Field(
        None, description="Input of the model, with `{text}` and, if wanted, `{options}` (names of the task's classes)."
    )
    shots: int | None = Field(None, ge=1, description="Training samples a class, drawn by the seed; all when absent.")
    tasks: tuple[TaskCard, ...] = Field(min_length=1, description="In training order.")
    licences: tuple[LicenceCard, ...] = ()
    citations: tuple[str, ...] = ()

    @field_validator("protocols")
    @classmethod
    def _each_protocol_once(cls, value: tuple[EvalProtocol, ...]) -> tuple[EvalProtocol, ...]:
        if len(set(value)) < len(value):
            raise ValueError("each protocol once")
        return value


@dataclass(frozen=True)
class DataChoice:
    """Where a stream's data are, and the seed of few-shot draws.

    Attributes:
        folder: Data folder of the card, or the user's root; None when there is neither.
        hub: Whether the data come from the Hugging Face hub instead of a folder.
        seed: Seed that draws the shots of a few-shot stream.
    """

    folder: Path | None
    hub: bool
    seed: int


HUB = "hub"
"""Value of `--root` that means the Hugging Face hub."""


def load_stream(name: str, root: str | None = None, seed: int = 0) -> Stream:
    """The stream of that name, or of the card in a YAML file; data are read when they are first needed.

    Args:
        name: Name of the stream, or the path of its card.
        root: Folder of the data sets, or `hub`; for cards without data of their own.
        seed: Seed that draws the shots of a few-shot stream.

    Raises:
        RegistryError: For an unknown name.
        ConfigError: For an invalid card.
        DataError: For missing data.
    """
    file = STREAM_CARDS.get(name)
    card = read_card(file.values, file.path)
    if card.data is not None:
        choice = DataChoice(file.path.parent / card.data, hub=False, seed=seed)
    else:
        choice = DataChoice(Path(root) if root and root != HUB else None, hub=root == HUB, seed=seed)
    loader = LOADERS.get(card.loader).value
    return replace(cast(Stream, loader(card, choice)), updates=updates_of(card))


def updates_of(card: StreamCard) -> tuple[Update, ...]:
    """The updates of a card: the listed ones, else one for each release, else one for each task.

    Raises:
        ConfigError: For updates that do not fit the tasks or one another.
    """
    where = f"stream {card.name}"
    if card.releases and card.updates:
        raise ConfigError(f"{where}: at most one of releases and updates")
    if card.releases and card.loader != "releases":
        raise ConfigError(f"{where}: releases are not for loader {card.loader!r}, but for `releases`")
    listed: tuple[Update, ...] = tuple(
        parse_update(item, f"{where}: update {number}") for number, item in enumerate(card.updates, 1)
    )
    releases = tuple(Adopt(release=release) for release in card.releases)
    updates = listed or releases or tuple(Learn(task=task.name) for task in card.tasks)
    check_updates(updates, [task.name for task in card.tasks], where)
    return updates


def users_root(card: StreamCard, choice: DataChoice) -> Path:
    """The folder of a stream's data, normalised; for loaders without a copy on the hub.

    Raises:
        DataError: When the card has none and the user named none.
    """
    if choice.hub:
        raise DataError(f"--root hub: no copy of the data of {card.name!r} on the hub is known (wanted --root DIR)")
    if choice.folder is None:
        raise DataError(f"stream {card.name!r} has no data of its own: it needs --root DIR with its data sets")
    return Path(os.path.normpath(choice.folder.absolute()))


def read_card(values: Mapping[str, object], path: Path) -> StreamCard:
    """Validate the contents of a card's file.

    Raises:
        ConfigError: For an invalid card.
    """
    card = validate(StreamCard, values, f"stream {path.name}")
    names = [task.name for task in card.tasks]
    if len(set(names)) < len(names):
        raise ConfigError(f"stream {path.name}: two tasks are named {max(names, key=names.count)!r}")
    return card
