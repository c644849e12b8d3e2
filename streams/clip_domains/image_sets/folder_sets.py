"""Sets without an official split, a folder a class: the random 80/20 split of MTIL's code.

MTIL draws it with `torch.utils.data.random_split` and a generator of seed 42 over torchvision's order of the images.
That order is sorted for Caltech-101 and EuroSAT. For SUN397 torchvision takes the order of the disk, which differs
between machines; here it is sorted, so MTIL's own SUN397 split cannot be reproduced.
"""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from clbench.core.errors import DataError
from clbench.spec.task import Split
from clbench.streams.clip_domains.image_sets.found_image_set import FoundImageSet, class_names, label_of, read_lines
from clbench.streams.clip_domains.image_sets.image_part import ImagePart, new_part
from clbench.streams.clip_domains.image_sets.image_set_facts import ImageSetFacts
from clbench.streams.clip_domains.image_sets.set_location import SetLocation
from clbench.streams.image_files import entries, files_below

SEED = 42
TRAIN = 0.8


def read_caltech(location: SetLocation, facts: ImageSetFacts) -> FoundImageSet:
    """Caltech-101, without the background class."""
    return _by_folder(location, facts, "image_")


def read_eurosat(location: SetLocation, facts: ImageSetFacts) -> FoundImageSet:
    """EuroSAT, the RGB images."""
    return _by_folder(location, facts, "")


def read_sun(location: SetLocation, facts: ImageSetFacts) -> FoundImageSet:
    """SUN397; classes lie up to three folders deep (`a/apartment_building/outdoor`)."""
    file = location.find("ClassName.txt")
    raw = [line.removeprefix("/")[2:] for line in read_lines(file)]
    labels = {name: label for label, name in enumerate(raw)}

    @cache
    def listed() -> ImagePart:
        names = _below(location.images, "sun_")
        found = [label_of(file, labels, name.partition("/")[2].rpartition("/")[0]) for name in names]
        return new_part(location.images, location.images, names, found)

    return FoundImageSet(location.folder, class_names(file, raw, facts.classes), _halves(listed))


def _by_folder(location: SetLocation, facts: ImageSetFacts, start: str) -> FoundImageSet:
    raw = [path.name for path in entries(location.images) if path.is_dir() and path.name in facts.classes]
    if not raw:
        raise DataError(f"{location.images}: has none of the class folders {', '.join(list(facts.classes)[:3])}, ...")

    @cache
    def listed() -> ImagePart:
        rows = [
            (f"{name}/{file}", label)
            for label, name in enumerate(raw)
            for file in _below(location.images / name, start)
        ]
        return new_part(location.images, location.images, [name for name, _ in rows], [label for _, label in rows])

    return FoundImageSet(location.folder, class_names(location.images, raw, facts.classes), _halves(listed))


def _below(folder: Path, start: str) -> list[str]:
    """Paths of the JPEG files below a folder whose names begin with `start`, relative to it, sorted."""
    return [path for path in files_below(folder) if path.rpartition("/")[2].startswith(start) and path.endswith(".jpg")]


def _halves(listed: Callable[[], ImagePart]) -> dict[Split, Callable[[], ImagePart]]:
    return {"train": partial(_half, listed, "train"), "test": partial(_half, listed, "test")}


def _half(listed: Callable[[], ImagePart], split: Split) -> ImagePart:
    import torch

    part = listed()
    order = torch.randperm(len(part.names), generator=torch.Generator().manual_seed(SEED)).tolist()
    size = int(TRAIN * len(order))
    return part.select(order[:size] if split == "train" else order[size:])
