"""What the store of versions has, how large it is and who uses it; and its cleaning."""

import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from clbench.benchmarks.engine.version_store import (
    INTERMEDIATE,
    INTERMEDIATES,
    LOCKS,
    MADE,
    STATES,
    TESTS,
    TREE,
    VERSIONS,
    WEIGHTS,
    VersionStore,
)
from clbench.core.errors import CheckpointError
from clbench.core.storage import read_json

ROOMS = {"version": VERSIONS, "intermediate": INTERMEDIATES, "test": TESTS}
"""Folders in the store by the kind of what they hold."""
MARKS = {"version": "", "intermediate": "intermediate-", "test": "test-"}
"""What the names of their locks begin with."""


@dataclass(frozen=True)
class StoredItem:
    """A version, an intermediate result or a test in the store.

    Attributes:
        kind: `version`, `intermediate` or `test`.
        key: Name of its folder.
        made_by: The update that made it, as text; empty for tests.
        cells: Folders of the cells that use it.
        weight_bytes: Bytes of weights, of tensors in states and of all tensors of an intermediate result.
        other_bytes: Bytes of everything else.
    """

    kind: str
    key: str
    made_by: str
    cells: tuple[str, ...]
    weight_bytes: int
    other_bytes: int


def contents(out: Path) -> list[StoredItem]:
    """All versions, intermediates and tests in the store of an output folder, in this order, the largest first.

    Raises:
        CheckpointError: When the record of a version or of a cell is damaged.
    """
    users = _users(out)
    found = []
    for kind, room in ROOMS.items():
        for folder in (out / room).glob("*"):
            if folder.name == LOCKS or folder.name.startswith("."):
                continue
            states = (folder / STATES).glob("*/*.safetensors")
            weights = _bytes_of([folder / WEIGHTS, *states, *(folder / TREE).glob("*.safetensors")])
            others = _bytes_of(folder.rglob("*")) - weights
            made_by = (
                _made_by(folder / MADE)
                if kind == "version"
                else _intermediate_of(folder)
                if kind == "intermediate"
                else ""
            )
            cells = tuple(sorted(users.get(folder.name, ())))
            found.append(StoredItem(kind, folder.name, made_by, cells, weights, others))
    order = list(ROOMS)
    return sorted(found, key=lambda item: (order.index(item.kind), -item.weight_bytes - item.other_bytes, item.key))


def clean(out: Path, what: str) -> int:
    """Delete from the store of an output folder, but nothing that a running process uses.

    Args:
        out: The output folder.
        what: `unused` deletes versions, intermediates and tests that no cell of the folder has, and what killed
            processes have left; `weights` deletes all weights and intermediates, which are computed again if needed.

    Returns:
        Bytes that were freed.
    """
    store, freed = VersionStore(out), 0
    for item in contents(out):
        folder = out / ROOMS[item.kind] / item.key
        if what == "weights" and item.kind == "version" and item.weight_bytes:
            gone = store.drop_weights(item.key)
            freed += item.weight_bytes if gone else 0
        elif (what == "unused" and not item.cells) or (what == "weights" and item.kind == "intermediate"):
            with store.unless_used(MARKS[item.kind] + item.key) as free:
                if free:
                    shutil.rmtree(folder, ignore_errors=True)
                    freed += item.weight_bytes + item.other_bytes
    return freed + (_clean_leftovers(out, store) if what == "unused" else 0)


def _clean_leftovers(out: Path, store: VersionStore) -> int:
    """Delete half-written folders whose writers are gone; returns the bytes that were freed."""
    freed = 0
    for kind, room in ROOMS.items():
        for folder in (out / room).glob(".*.*"):  # .<key>.<random>.part
            with store.unless_used(MARKS[kind] + folder.name.split(".")[1]) as free:
                if free:
                    size = _bytes_of(folder.rglob("*"))
                    shutil.rmtree(folder, ignore_errors=True)
                    freed += size
    return freed


def _users(out: Path) -> dict[str, set[str]]:
    """The cells that use each version, intermediate and test, by key."""
    users: dict[str, set[str]] = {}
    for path in out.glob("*/*/versions/[0-9]*/record.json"):
        record = read_json(path)
        for name in ("key", "test"):
            if key := record.get(name):
                users.setdefault(str(key), set()).add(f"{path.parents[3].name}/{path.parents[2].name}")
    for path in (out / VERSIONS).glob(f"*/{MADE}"):
        intermediates = read_json(path).get("intermediates", []) if path.parent.name in users else []
        for intermediate in intermediates if isinstance(intermediates, list) else []:
            users.setdefault(str(intermediate), set()).update(users[path.parent.name])
    return users


def _made_by(path: Path) -> str:
    """The update of a version with its strategy: `learn comp: osft`.

    Raises:
        CheckpointError: When the record is damaged.
    """
    made = read_json(path).get("made_of")
    try:
        found = cast(Mapping[str, Mapping[str, object]], made)
        strategy = found["strategy"]["name"]
        values = [str(value) for value in found["update"].values()]
        return f"{found['kind']} {' '.join(values)}: {strategy}"
    except (AttributeError, KeyError, TypeError):
        raise CheckpointError(f"{path}: not the record of a version") from None


def _intermediate_of(folder: Path) -> str:
    """The update that an intermediate result belongs to: `learn comp: an intermediate result`.

    Raises:
        CheckpointError: When the record is damaged.
    """
    made = read_json(folder / INTERMEDIATE).get("made_of")
    try:
        found = cast(Mapping[str, Mapping[str, object]], made)
        values = [str(value) for value in found["update"].values()]
        return f"{found['kind']} {' '.join(values)}: shared by several"
    except (AttributeError, KeyError, TypeError):
        raise CheckpointError(f"{folder / INTERMEDIATE}: not the record of an intermediate result") from None


def _bytes_of(paths: Iterable[Path]) -> int:
    total = 0
    for path in paths:
        with suppress(OSError):  # it may be deleted meanwhile
            total += path.stat().st_size if path.is_file() else 0
    return total
