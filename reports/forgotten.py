"""Test rows of what a model was asked to forget: they count neither for it nor against it.

A `Forget` update of a task, or of one of its classes, marks the test rows of this task or class as forgotten, for its
version and for all that descend from it. A share of the training samples or a list of them marks no test row.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import final

from clbench.core.errors import DataError
from clbench.core.storage import read_json

FILE = "forget.json"
"""Name of the file beside a ledger that says what its versions were asked to forget."""


@final
@dataclass(frozen=True)
class Forgotten:
    """Test rows of one task.

    Attributes:
        task: Name of the task.
        category: Name of one of its classes; None for all rows of the task.
    """

    task: str
    category: str | None

    @property
    def targets(self) -> tuple[str | None, ...]:
        """Values of the ledger's column `target` that the rows have, under `task-id` and `union`; None for any."""
        return (None,) if self.category is None else (self.category, f"{self.task}: {self.category}")


def whole_tasks(forgotten: Iterable[Forgotten]) -> frozenset[str]:
    """Names of the tasks of which all rows are forgotten."""
    return frozenset(item.task for item in forgotten if item.category is None)


def largest(requests: Iterable[tuple[str, frozenset[Forgotten]]]) -> frozenset[Forgotten]:
    """What is left out where several models are compared: the largest request, which contains all others.

    A model that was asked to forget nothing is compared on what the others retain, and so is an earlier version of a
    stream on what a later version retains.

    Args:
        requests: Name of each model, and what it was asked to forget.

    Raises:
        DataError: If two requests differ and neither contains the other.
    """
    found = [(name, _without_repeats(request)) for name, request in requests]
    (chosen, most), *others = sorted(found, key=lambda item: (-len(whole_tasks(item[1])), -len(item[1])))
    for name, request in others:
        if _without_repeats(most | request) != most:
            shown = " and ".join(f"{owner}: {_listed(items)}" for owner, items in ((chosen, most), (name, request)))
            raise DataError(f"models that were asked to forget different things cannot be compared: {shown}")
    return most


def read_forgotten(folder: Path) -> dict[int, frozenset[Forgotten]]:
    """What each version was asked to forget, from the file in a folder; empty without a file.

    The file is `{"versions": {"3": [{"task": "birds", "category": null}]}}`. It lists under each number all that was
    forgotten on the path to this version; versions without a list were asked to forget nothing.

    Raises:
        CheckpointError: If the file is no JSON.
        DataError: If it has another layout.
    """
    path = folder / FILE
    if not path.is_file():
        return {}
    versions = read_json(path).get("versions")
    if not isinstance(versions, dict):
        raise DataError(f"{path}: versions must be an object, got {versions!r:.60}")
    return {_number(path, key): frozenset(_items(path, key, items)) for key, items in versions.items()}


def _without_repeats(forgotten: frozenset[Forgotten]) -> frozenset[Forgotten]:
    """The same rows, without classes of tasks that are forgotten as a whole."""
    tasks = whole_tasks(forgotten)
    return frozenset(item for item in forgotten if item.category is None or item.task not in tasks)


def _number(path: Path, key: str) -> int:
    if not (key.isascii() and key.isdecimal()):
        raise DataError(f"{path}: versions: wanted numbers of versions, got {key!r:.60}")
    return int(key)


def _items(path: Path, version: str, items: object) -> list[Forgotten]:
    if not isinstance(items, list):
        raise DataError(f"{path}: version {version}: wanted a list, got {items!r:.60}")
    found = []
    for item in items:
        match item:
            case {"task": str(task), "category": str() | None as category}:
                found.append(Forgotten(task, category))
            case _:
                raise DataError(f"{path}: version {version}: wanted a task and a category or null, got {item!r:.60}")
    return found


def _listed(forgotten: Iterable[Forgotten]) -> str:
    names = sorted("/".join(filter(None, (item.task, item.category))) for item in forgotten)
    return ", ".join(names[:3]) + ", ..." * (len(names) > 3)
