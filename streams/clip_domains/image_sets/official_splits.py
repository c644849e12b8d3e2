"""Official splits that lie beside the images, read as torchvision's dataset classes read them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from clbench.core.errors import DataError
from clbench.core.strict_json import parse_json
from clbench.spec.task import Split
from clbench.streams.clip_domains.image_sets.found_image_set import FoundImageSet, class_names, label_of, read_lines
from clbench.streams.clip_domains.image_sets.image_part import ImagePart, new_part
from clbench.streams.clip_domains.image_sets.image_set_facts import ImageSetFacts
from clbench.streams.clip_domains.image_sets.set_location import SetLocation

THREE: dict[Split, str] = {"train": "train", "validation": "val", "test": "test"}


def read_aircraft(location: SetLocation, facts: ImageSetFacts) -> FoundImageSet:
    """FGVC-Aircraft by variant; MTIL and X-TAIL train on the part `train`, without `val`."""
    file = location.find("variants.txt")
    raw = read_lines(file)
    labels = {name: label for label, name in enumerate(raw)}

    def part(name: str) -> ImagePart:
        listing = location.find(f"images_variant_{name}.txt")
        rows = [line.partition(" ") for line in read_lines(listing)]
        found = [label_of(listing, labels, variant.strip()) for _, _, variant in rows]
        return new_part(listing, location.images, [f"{image}.jpg" for image, _, _ in rows], found)

    return FoundImageSet(location.folder, class_names(file, raw, facts.classes), _parts(part, THREE))


def read_dtd(location: SetLocation, facts: ImageSetFacts) -> FoundImageSet:
    """DTD, partition 1."""
    first = location.find("labels/train1.txt")
    raw = sorted({line.partition("/")[0] for line in read_lines(first)})
    labels = {name: label for label, name in enumerate(raw)}

    def part(name: str) -> ImagePart:
        listing = location.find(f"labels/{name}1.txt")
        names = read_lines(listing)
        return new_part(
            listing, location.images, names, [label_of(listing, labels, row.partition("/")[0]) for row in names]
        )

    return FoundImageSet(location.folder, class_names(first, raw, facts.classes), _parts(part, THREE))


def read_food(location: SetLocation, facts: ImageSetFacts) -> FoundImageSet:
    """Food-101."""
    first = location.find("meta/train.json")
    raw = sorted(_lists(first))
    labels = {name: label for label, name in enumerate(raw)}

    def part(name: str) -> ImagePart:
        listing = location.find(f"meta/{name}.json")
        rows = [(row, label_of(listing, labels, key)) for key, names in _lists(listing).items() for row in names]
        return new_part(listing, location.images, [f"{row}.jpg" for row, _ in rows], [label for _, label in rows])

    return FoundImageSet(
        location.folder, class_names(first, raw, facts.classes), _parts(part, {"train": "train", "test": "test"})
    )


def read_pets(location: SetLocation, facts: ImageSetFacts) -> FoundImageSet:
    """Oxford-IIIT Pet; trained on `trainval`."""
    first = location.find("annotations/trainval.txt")
    breeds = {label: row.rpartition("_")[0] for row, label in _pets(first)}
    if sorted(breeds) != list(range(len(breeds))):
        raise DataError(f"{first}: the {len(breeds)} classes must be numbered from 1, got numbers to {max(breeds) + 1}")
    raw = [" ".join(word.title() for word in breeds[label].split("_")) for label in range(len(breeds))]

    def part(name: str) -> ImagePart:
        listing = location.find(f"annotations/{name}.txt")
        rows = _pets(listing)
        if max(label for _, label in rows) >= len(raw):
            raise DataError(f"{listing}: labels must be 1 to {len(raw)}, got {max(label for _, label in rows) + 1}")
        return new_part(listing, location.images, [f"{row}.jpg" for row, _ in rows], [label for _, label in rows])

    names = class_names(first, raw, facts.classes)
    return FoundImageSet(location.folder, names, _parts(part, {"train": "trainval", "test": "test"}))


def _parts(part: Callable[[str], ImagePart], names: dict[Split, str]) -> dict[Split, Callable[[], ImagePart]]:
    return {split: partial(part, name) for split, name in names.items()}


def _pets(path: Path) -> list[tuple[str, int]]:
    """Image and label of each line `Abyssinian_100 1 1 1`."""
    rows = []
    for line in read_lines(path):
        words = line.split()
        if line.startswith("#"):
            continue
        if len(words) != 4 or not words[1].isdecimal() or int(words[1]) < 1:
            raise DataError(f"{path}: wanted lines of an image and three numbers, got {line[:80]!r}")
        rows.append((words[0], int(words[1]) - 1))
    if not rows:
        raise DataError(f"{path}: lists no images")
    return rows


def _lists(path: Path) -> dict[str, list[str]]:
    """A JSON object of lists of texts."""
    try:
        values: Any = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: damaged: {error}") from None
    if isinstance(values, dict) and all(
        isinstance(rows, list) and all(isinstance(row, str) for row in rows) for rows in values.values()
    ):
        return values
    raise DataError(f"{path}: wanted lists of images by class, got something else")
