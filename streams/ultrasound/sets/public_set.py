"""Facts of a public data set, and what the readers of most sets share."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from clbench.core.errors import DataError
from clbench.streams.clip_domains.image_sets.set_location import SetLocation
from clbench.streams.ultrasound.labelled_image import LabelledImage
from clbench.streams.ultrasound.task_sources import Answers

LESION = Answers(kind="segmentation", classes=("background", "lesion"))
TUMOUR = Answers(kind="classification", classes=("benign", "malignant"))


@dataclass(frozen=True)
class UltrasoundSet:
    """A data set.

    Attributes:
        title: Name of the set.
        folders: Possible names of its folder below the root.
        images: Folders in it where the published layout may begin, depending on how it was unpacked.
        witness: Glob of what is there.
        tasks: Answers of its tasks, by the names that cards use.
        sizes: Published numbers of images, by task; a task whose number is not known is absent.
        read: Lists the images of a task.
        source: Address of the data.
        licence: Licence of the data.
        citation: Who made it.
        mistakes: Glob of what people put there by mistake, and what it is.
    """

    title: str
    folders: tuple[str, ...]
    images: tuple[str, ...]
    witness: str
    tasks: Mapping[str, Answers]
    sizes: Mapping[str, int]
    read: Callable[[SetLocation, str], list[LabelledImage]]
    source: str
    licence: str
    citation: str
    mistakes: Mapping[str, str] = field(default_factory=dict)


def natural_key(path: Path) -> list[tuple[int, str]]:
    """A key that sorts by the numbers in a name: `benign (2)` before `benign (10)`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]


def existing_file(file: Path, what: str) -> Path:
    """A file that must be there.

    Raises:
        DataError: When it is not.
    """
    if not file.is_file():
        raise DataError(f"{file}: no such file ({what})")
    return file


def plain_file_name(name: str, where: str, column: str) -> str:
    """The name of a file from a list, which must not lead to another folder.

    Args:
        name: Name in the list.
        where: Place in the list, for messages.
        column: Column of the name, for messages.

    Raises:
        DataError: When it does.
    """
    if not name or set(name) & {"/", "\\"} or name in (".", "..") or not name.isprintable():
        raise DataError(f"{where}: {column}: wanted a name without folders, got {name[:60]!r}")
    return name


def not_empty(rows: list[LabelledImage], folder: Path, what: str) -> list[LabelledImage]:
    """The rows, of which there must be at least one.

    Args:
        rows: Rows that were found.
        folder: Folder or file that was searched, for messages.
        what: What was looked for, for messages.

    Raises:
        DataError: When there are none.
    """
    if not rows:
        raise DataError(f"{folder}: wanted {what}, got none")
    return rows


def label_named(label: str, known: Iterable[str], where: str, column: str) -> int:
    """The label of a class by its name; capitals and blanks around it do not matter.

    Args:
        label: Name in the data.
        known: Names of the classes by label.
        where: Place in the data, for messages.
        column: Column of the name, for messages.

    Raises:
        DataError: For a name that is none of them.
    """
    names = [name.lower() for name in known]
    if label.strip().lower() not in names:
        raise DataError(f"{where}: {column}: wanted one of {', '.join(known)}, got {label[:60]!r}")
    return names.index(label.strip().lower())
