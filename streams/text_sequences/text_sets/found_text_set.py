"""A text data set on disk: the rows of its parts, and its differences from the published one."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from clbench.core.errors import DataError
from clbench.core.storage import file_digest
from clbench.spec.task import SPLITS, Split
from clbench.streams.missing_data import MissingSetError
from clbench.streams.text_sequences.text_sets.olora_prompts import prompt
from clbench.streams.text_sequences.text_sets.published_rows import (
    AT_LEAST,
    SHARE,
    TextRow,
    read_list,
    read_rows,
    validation_texts,
)
from clbench.streams.text_sequences.text_sets.text_set_facts import Collection


@dataclass(frozen=True, eq=False)
class FoundTextSet:
    """A data set on disk.

    Attributes:
        name: Name of the set and of its folder.
        collection: Facts of the collection that it belongs to.
        folder: Folder of the set.
    """

    name: str
    collection: Collection
    folder: Path

    @property
    def labels(self) -> tuple[str, ...]:
        """All answers; empty where they are free."""
        return self.collection.sets[self.name].labels

    def path(self, split: Split) -> Path:
        """The file that a part is in."""
        return self.folder / self.collection.files.get(split, self.collection.files["train"])

    def rows(self, split: Split) -> list[TextRow]:
        """The labelled rows of a part, in the order of their file.

        Raises:
            DataError: When the file is missing or damaged or has an answer that is none of the labels.
        """
        rows = [row for row in self._read(split) if row.answer != self.collection.unlabelled]
        if split == "test" or "validation" in self.collection.files:
            return rows
        chosen = validation_texts(rows)
        return [row for row in rows if (row.text in chosen) == (split == "validation")]

    def counts(self, split: Split) -> tuple[int, int]:
        """Numbers of rows and of unlabelled rows in a part's file, which is read again only when it has changed.

        Raises:
            DataError: As `rows`.
        """
        path, known = self.path(split), self.collection
        try:
            stat = path.stat()
        except OSError:
            raise DataError(f"{path}: no such file") from None
        keys = (known.text, known.answer)
        return _counts(path, (stat.st_mtime_ns, stat.st_size), keys, self.labels, known.unlabelled)

    def data_deviations(self) -> Iterator[str]:
        """Differences from the published files, one line each.

        Raises:
            DataError: As `rows`.
        """
        published = self.collection.sets[self.name]
        for split in self._splits():
            rows, wanted = self.counts(split)[0], getattr(published, split)
            if rows != wanted:
                yield f"{split}: wanted the published {wanted:,} rows, got {rows:,}"
        listed = self.folder / "labels.json"
        if self.labels and listed.is_file():
            got = read_list(listed)
            if got != list(self.labels):
                yield f"labels.json: wanted {', '.join(self.labels)}, got {_short(got)}"

    def left_out(self) -> Iterator[str]:
        """Numbers of published rows that are in no part, one line for each file with such rows.

        Raises:
            DataError: As `rows`.
        """
        for split in self._splits():
            rows, unlabelled = self.counts(split)
            if unlabelled:
                yield f"{split}: {unlabelled:,} of {rows:,} rows have no label and are left out"

    def fingerprint(self, split: Split) -> str:
        """A hash of a part's file and of how its rows are asked."""
        asked = prompt(self.collection, self.name, "")
        words = (split, file_digest(self.path(split)), asked, self.labels, self.collection.unlabelled, SHARE, AT_LEAST)
        return hashlib.sha256(repr(words).encode()).hexdigest()

    def _splits(self) -> list[Split]:
        """The parts that have files of their own."""
        return [split for split in SPLITS if split in self.collection.files]

    def _read(self, split: Split) -> list[TextRow]:
        known = self.collection
        return _checked(self.path(split), (known.text, known.answer), self.labels, known.unlabelled)


def find_set(root: Path, collection: Collection, name: str) -> FoundTextSet:
    """A data set below a root, or in it if the root is the collection's own folder.

    Args:
        root: Folder of the data sets.
        collection: Facts of the collection.
        name: Name of the data set.

    Raises:
        MissingSetError: When its folder is not there.
        DataError: When there is no such root.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder (wanted the folder of {collection.title})")
    home = next((root / inside for inside in collection.folders if (root / inside).is_dir()), root)
    folder = home / collection.sets[name].group / name
    if not folder.is_dir():
        wanted = "/".join(part for part in (collection.folders[0], collection.sets[name].group, name) if part)
        raise MissingSetError(f"{root}: data set {name} is missing (wanted a folder {wanted})")
    return FoundTextSet(name, collection, folder)


def _checked(path: Path, keys: tuple[str, str], labels: tuple[str, ...], unlabelled: str | None) -> list[TextRow]:
    rows = read_rows(path, *keys)
    allowed = {*labels, unlabelled}
    odd = next((row for row in rows if labels and row.answer not in allowed), None)
    if odd is not None:
        wanted = f"wanted one of {', '.join(labels)}"
        raise DataError(f"{path}: row {odd.number}: {keys[1]!r} is no label ({wanted}, got {odd.answer[:60]!r})")
    return rows


@lru_cache(maxsize=1024)
def _counts(
    path: Path, _state: tuple[int, int], keys: tuple[str, str], labels: tuple[str, ...], unlabelled: str | None
) -> tuple[int, int]:
    rows = _checked(path, keys, labels, unlabelled)
    return len(rows), sum(row.answer == unlabelled for row in rows)


def _short(values: list[object]) -> str:
    text = ", ".join(map(str, values))
    return text if len(text) <= 100 else f"{text[:100]}..."
