"""A data set on disk: its classes, and its parts, which are read on demand."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clbench.core.csv_files import read_text
from clbench.core.errors import DataError
from clbench.spec.task import Split
from clbench.streams.clip_domains.image_sets.image_part import ImagePart
from clbench.streams.clip_domains.image_sets.image_set_facts import ImageSetFacts
from clbench.streams.clip_domains.image_sets.set_location import SetLocation


@dataclass(frozen=True, eq=False)
class FoundImageSet:
    """A data set on disk.

    Attributes:
        folder: The set's own folder below the root.
        classes: Class names as prompts use them, by label.
        parts: Readers of those splits that the convention has.
    """

    folder: Path
    classes: tuple[str, ...]
    parts: Mapping[Split, Callable[[], ImagePart]]


Reader = Callable[[SetLocation, ImageSetFacts], FoundImageSet]
"""Reads a data set in the folders where it lies."""


def class_names(where: Path, raw: Sequence[str], ours: Mapping[str, str]) -> tuple[str, ...]:
    """Class names for prompts: ours where there is one, else the data's own with spaces for underscores.

    Args:
        where: File or folder that the names were read from, for messages.
        raw: Names by label, as the data have them.
        ours: Names for some of them.

    Raises:
        DataError: When there are none, two classes would have one name, or one is no text.
    """
    names = tuple(ours.get(name, name.replace("_", " ")) for name in raw)
    if not names:
        raise DataError(f"{where}: names no classes")
    odd = next((name for name in names if not name.strip() or not name.isprintable()), None)
    if odd is not None:
        raise DataError(f"{where}: {odd!r} is no name of a class")
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise DataError(f"{where}: {count} classes are named {name!r}")
    return names


def label_of(where: Path, classes: Mapping[str, int], name: str) -> int:
    """The label of a class that a list of images names.

    Args:
        where: The list, for messages.
        classes: Labels by class name.
        name: Class that the list names.

    Raises:
        DataError: For a class that is not among the set's.
    """
    if name not in classes:
        raise DataError(f"{where}: class {name!r} is not among the {len(classes)} classes of the set")
    return classes[name]


def read_lines(path: Path) -> list[str]:
    """The lines of a text file without blanks around them; empty lines are left out.

    Raises:
        DataError: When it cannot be read.
    """
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]
