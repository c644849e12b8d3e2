"""The splits of CoOp (Zhou et al. 2022), on which X-TAIL rests: `split_zhou_<Dataset>.json`."""

from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path

from clbench.core.errors import DataError
from clbench.core.strict_json import parse_json
from clbench.spec.task import Split
from clbench.streams.clip_domains.image_sets.found_image_set import FoundImageSet, class_names
from clbench.streams.clip_domains.image_sets.image_part import ImagePart, new_part
from clbench.streams.clip_domains.image_sets.image_set_facts import ImageSetFacts
from clbench.streams.clip_domains.image_sets.set_location import SetLocation, unnested

KEYS: Mapping[Split, str] = {"train": "train", "validation": "val", "test": "test"}

Row = tuple[str, int, str]
"""Path below the folder of images, label, class name."""


def read_split_file(location: SetLocation, facts: ImageSetFacts) -> FoundImageSet:
    """A set read by its split file, which has its class names too."""
    assert facts.split is not None  # every set of this convention has one, its file of facts says
    file = location.find(facts.split)
    stat = file.stat()
    splits = _rows(file, (stat.st_mtime_ns, stat.st_size))
    classes = class_names(file, _names(file, [row for rows in splits.values() for row in rows]), {})
    return FoundImageSet(
        location.folder, classes, {split: partial(_part, file, location, rows) for split, rows in splits.items()}
    )


def _part(file: Path, location: SetLocation, rows: tuple[Row, ...]) -> ImagePart:
    tops = {name.partition("/")[0] for name, _, _ in rows if "/" in name}
    moved = {top: unnested(location.images, top) for top in tops}
    names = [moved.get(top := name.partition("/")[0], top) + name.removeprefix(top) for name, _, _ in rows]
    return new_part(file, location.images, names, [label for _, label, _ in rows])


def _names(file: Path, rows: list[Row]) -> list[str]:
    """Class names by label, which all rows agree on."""
    found: dict[int, str] = {}
    for _, label, name in rows:
        if found.setdefault(label, name) != name:
            raise DataError(f"{file}: label {label} is called both {found[label]!r} and {name!r}")
    missing = next((label for label in range(len(found)) if label not in found), None)
    if missing is not None:
        raise DataError(f"{file}: labels must be 0 to {len(found) - 1}, got {max(found)} and no {missing}")
    return [found[label] for label in range(len(found))]


@lru_cache(maxsize=32)
def _rows(file: Path, _state: tuple[int, int]) -> dict[Split, tuple[Row, ...]]:
    """The rows of each split; its time and size are an argument so that a changed file is read again."""
    try:
        values = parse_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file}: damaged: {error}") from None
    if not isinstance(values, dict):
        raise DataError(f"{file}: wanted an object with train, val and test, got {type(values).__name__}")
    found: dict[Split, tuple[Row, ...]] = {}
    for split, key in KEYS.items():
        items = values.get(key)
        if not isinstance(items, list):
            raise DataError(f"{file}: {key!r} must be a list of [path, label, class name], got {type(items).__name__}")
        found[split] = tuple(_row(file, f"{key}[{index}]", item) for index, item in enumerate(items))
    shared = {path for path, _, _ in found["train"]} & {path for path, _, _ in found["test"]}
    if shared:
        raise DataError(f"{file}: {len(shared)} images are both for training and for testing, as {min(shared)!r}")
    return found


def _row(file: Path, where: str, item: object) -> Row:
    match item:
        case [str(path), int(label), str(name)] if label >= 0 and not isinstance(label, bool) and name.strip():
            return path, label, name
    raise DataError(f"{file}: {where} must be [path, label, class name], got {item!r:.80}")
