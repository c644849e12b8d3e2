"""What is not there at all, told in one line."""

from collections.abc import Sequence
from pathlib import Path

from clbench.errors import DataError
from clbench.streams.card import StreamCard
from clbench.streams.clip_domains.picture_sets.place import MissingSetError


def refuse_missing(card: StreamCard, root: Path, missing: Sequence[tuple[str, MissingSetError]]) -> None:
    """Say which tasks of a stream have no data.

    Raises:
        DataError: When there are such: the reason of the only one, or the names of all.
    """
    if len(missing) == 1:
        raise missing[0][1]
    if missing:
        names = ", ".join(name for name, _ in missing)
        raise DataError(
            f"{root}: {len(missing)} of {len(card.tasks)} tasks of {card.name!r} are missing: {names}"
            f" (`clbench data check {card.name} --root {root}` says what is there)"
        )
