"""Official splits that lie beside the images, read as torchvision's dataset classes read them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from clbench.core.csv_files import read_cells
from clbench.core.errors import DataError
from clbench.core.strict_json import parse_json
from clbench.spec.task import Split
from clbench.streams.clip_domains.image_sets.found_image_set import FoundImageSet, class_names, label_of, read_lines
from clbench.streams.clip_domains.image_sets.image_part import ImagePart, new_part
from clbench.streams.clip_domains.image_sets.image_set_facts import ImageSetFacts
from clbench.streams.clip_domains.image_sets.set_location import SetLocation
from clbench.streams.image_files import entries

SIGN_COLUMNS = ["Filename", "ClassId"]
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


def read_gtsrb(location: SetLocation, facts: ImageSetFacts) -> FoundImageSet:
    """GTSRB; the folders only number the classes, so their names are ours."""
    names = tuple(facts.classes.values())

    def train() -> ImagePart:
        folder = location.images / "Training"
        numbers = [path.name for path in entries(folder) if path.is_dir()]
        found = [(f"Training/{name}/{path.name}", name) for name in numbers for path in entries(folder / name, "*.ppm")]
        labels = [_number(folder, name, len(names)) for _, name in found]
        return new_part(folder, location.images, [path for path, _ in found], labels)

    def test() -> ImagePart:
        listing = location.find("GT-final_test.csv")
        header, *rows = [cells for _, cells in read_cells(listing, SIGN_COLUMNS, ";")] or [SIGN_COLUMNS]
        missing = set(SIGN_COLUMNS) - set(header)
        if missing:
            raise DataError(f"{listing}: the column {min(missing)} is missing")
        file, label = header.index("Filename"), header.index("ClassId")
        labels = [_number(listing, cells[label], len(names)) for cells in rows]
        return new_part(listing, location.images, [f"Final_Test/Images/{cells[file]}" for cells in rows], labels)

    return FoundImageSet(location.folder, names, {"train": train, "test": test})


def read_resisc(location: SetLocation, facts: ImageSetFacts) -> FoundImageSet:
    """RESISC45 by the lists of Neumann et al. (2019); an image's name begins with that of its class."""
    first = location.find("resisc45-train.txt")
    raw = sorted({line.rpartition("_")[0] for line in read_lines(first)})
    labels = {name: label for label, name in enumerate(raw)}

    def part(name: str) -> ImagePart:
        listing = location.find(f"resisc45-{name}.txt")
        rows = sorted((line.rpartition("_")[0], line) for line in read_lines(listing))
        found = [label_of(listing, labels, cls) for cls, _ in rows]
        return new_part(listing, location.images, [f"{cls}/{file}" for cls, file in rows], found)

    names = class_names(first, raw, facts.classes)
    return FoundImageSet(location.folder, names, _parts(part, {"train": "train", "test": "test"}))


def read_sun_partition(location: SetLocation, facts: ImageSetFacts) -> FoundImageSet:
    """SUN397, the first of its ten official partitions; class names have spaces for slashes."""
    file = location.find("ClassName.txt")
    raw = [line[3:] for line in read_lines(file)]
    labels = {name: label for label, name in enumerate(raw)}

    def part(name: str) -> ImagePart:
        listing = location.find(f"{name}_01.txt", f"Partitions/{name}_01.txt")
        names = sorted((line.removeprefix("/") for line in read_lines(listing)), key=lambda path: path.rpartition("/"))
        classes = [path.partition("/")[2].rpartition("/")[0] for path in names]
        return new_part(listing, location.images, names, [label_of(listing, labels, cls) for cls in classes])

    names = class_names(file, [name.replace("/", " ") for name in raw], facts.classes)
    return FoundImageSet(location.folder, names, _parts(part, {"train": "Training", "test": "Testing"}))


def _parts(part: Callable[[str], ImagePart], names: dict[Split, str]) -> dict[Split, Callable[[], ImagePart]]:
    return {split: partial(part, name) for split, name in names.items()}


def _number(where: Path, text: str, count: int) -> int:
    """The number of a class, from 0."""
    if not (text.strip().isdecimal() and int(text) < count):
        raise DataError(f"{where}: classes must be numbered 0 to {count - 1}, got {text[:80]!r}")
    return int(text)


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
