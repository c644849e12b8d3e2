"""Data sets that are not there at all, told together in one line."""

import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from clbench.core.cards import STREAM_CARDS
from clbench.core.errors import DataError
from clbench.streams.card import StreamCard

T = TypeVar("T")


class MissingSetError(DataError):
    """A data set, or what a task is read from, that is not below the root at all."""


def find_all(
    card: StreamCard, root: Path | None, finders: Iterable[tuple[str, Callable[[], T]]], what: str = "data sets"
) -> list[T]:
    """What is read for each task of a stream, or one line that names all that is missing.

    Args:
        card: The stream's.
        root: Where to look; None for the hub, where nothing is missing in this way.
        finders: For each task, what messages call it by and what opens it.
        what: Messages call them all.

    Raises:
        MissingSetError: When a single one is missing, in its own words.
        DataError: When several are, or one is damaged.
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
