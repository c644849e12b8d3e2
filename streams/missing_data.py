"""Missing data sets, reported together in one line."""

import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from clbench.core.cards import STREAM_CARDS
from clbench.core.errors import DataError
from clbench.streams.card import StreamCard

T = TypeVar("T")


class MissingSetError(DataError):
    """A data set, or the source of a task, is not below the root."""


def find_all(
    card: StreamCard, root: Path | None, finders: Iterable[tuple[str, Callable[[], T]]], what: str = "data sets"
) -> list[T]:
    """The source of each task of a stream, or one line that names all that are missing.

    Args:
        card: Card of the stream.
        root: Folder of the data; None for the hub.
        finders: For each task, its name in messages and the function that opens its source.
        what: Plural noun for the sources in messages.

    Raises:
        MissingSetError: When one source is missing, with its own message.
        DataError: When several are missing, or one is damaged.
    """
    found, missing = [], list[tuple[str, MissingSetError]]()
    for name, find in finders:
        try:
            found.append(find())
        except MissingSetError as error:
            missing.append((name, error))
    if len(missing) == 1:
        raise missing[0][1]
    if missing:
        names = ", ".join(name for name, _ in missing)
        stream = card.name if card.name in STREAM_CARDS.names() else "CARD.yaml"
        raise DataError(
            f"{root}: {len(missing)} of {len(card.tasks)} {what} of {card.name!r} are missing: {names}"
            f" (`clbench data check {stream} --root {shlex.quote(str(root))}` says where to get them)"
        )
    return found
