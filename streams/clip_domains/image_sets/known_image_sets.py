"""Which reader a set and a convention need."""

from collections.abc import Callable
from pathlib import Path

from clbench.core.errors import DataError
from clbench.spec.task import Split
from clbench.streams.clip_domains.image_sets import array_files as arrays
from clbench.streams.clip_domains.image_sets import coop
from clbench.streams.clip_domains.image_sets import folder_sets as folders
from clbench.streams.clip_domains.image_sets import matlab_files as matlab
from clbench.streams.clip_domains.image_sets import official_splits as official
from clbench.streams.clip_domains.image_sets.found_image_set import Found
from clbench.streams.clip_domains.image_sets.image_part import Part
from clbench.streams.clip_domains.image_sets.image_set_facts import Convention, Facts, facts_of
from clbench.streams.clip_domains.image_sets.place import Place, place_of

Reader = Callable[[Place, Facts], Found]

OWN_READERS: dict[str, Reader] = {
    "aircraft": official.read_aircraft,
    "caltech101": folders.read_caltech,
    "cifar100": arrays.read_cifar,
    "dtd": official.read_dtd,
    "eurosat": folders.read_eurosat,
    "food101": official.read_food,
    "mnist": arrays.read_mnist,
    "oxford_flowers": matlab.read_flowers,
    "oxford_pets": official.read_pets,
    "stanford_cars": matlab.read_cars,
    "sun397": folders.read_sun,
}

TRAINED_AND_TESTED: tuple[Split, Split] = ("train", "test")


def open_set(root: Path, name: str, convention: Convention) -> Found:
    """A data set below a root; its lists of images are read when a part is asked for.

    Raises:
        DataError: When it is missing, damaged or not in the layout of the convention.
    """
    facts = facts_of(name)
    if convention not in facts.expected:
        raise DataError(f"data set {name}: the convention {convention!r} has no {facts.title}")
    place = place_of(root, facts)
    read = coop.read_split_file if convention == "coop" and facts.split else OWN_READERS[name]
    return read(place, facts)


def part_of(found: Found, name: str, convention: Convention, split: Split) -> Part:
    """One part of a set.

    Raises:
        DataError: When the convention has no such part, or its list or images are missing or damaged.
    """
    if split not in found.parts:
        known = ", ".join(found.parts)
        raise DataError(f"data set {name}: the convention {convention!r} has no part {split!r} (it has {known})")
    return found.parts[split]()


def data_deviations_of(found: Found, name: str, convention: Convention) -> list[str]:
    """Where classes and numbers of images, trained and tested, are not those that were published, one line each.

    Raises:
        DataError: When a list of images is missing or damaged.
    """
    published = facts_of(name).expected[convention]
    train, test = (part_of(found, name, convention, split) for split in TRAINED_AND_TESTED)
    counts = {
        "classes": (len(found.classes), published.classes),
        "train": (len(train.names), published.train),
        "test": (len(test.names), published.test),
    }
    return [
        f"{name}: {what}: wanted the published {wanted:,}, got {got:,}"
        for what, (got, wanted) in counts.items()
        if got != wanted
    ]
