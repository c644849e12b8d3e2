"""The reader that a data set and a convention need."""

from pathlib import Path

from clbench.core.errors import DataError
from clbench.spec.task import Split
from clbench.streams.clip_domains.image_sets import (
    array_files,
    coop,
    folder_sets,
    matlab_files,
    official_splits,
    task_arithmetic,
)
from clbench.streams.clip_domains.image_sets.found_image_set import FoundImageSet, Reader
from clbench.streams.clip_domains.image_sets.image_part import ImagePart
from clbench.streams.clip_domains.image_sets.image_set_facts import Convention, facts_of
from clbench.streams.clip_domains.image_sets.set_location import locate_set

OWN_READERS: dict[str, Reader] = {
    "aircraft": official_splits.read_aircraft,
    "caltech101": folder_sets.read_caltech,
    "cifar100": array_files.read_cifar,
    "dtd": official_splits.read_dtd,
    "eurosat": folder_sets.read_eurosat,
    "food101": official_splits.read_food,
    "mnist": array_files.read_mnist,
    "oxford_flowers": matlab_files.read_flowers,
    "oxford_pets": official_splits.read_pets,
    "stanford_cars": matlab_files.read_cars,
    "sun397": folder_sets.read_sun,
}
TASK_ARITHMETIC_READERS: dict[str, Reader] = {
    "dtd": task_arithmetic.held_out(task_arithmetic.joined(official_splits.read_dtd)),
    "eurosat": task_arithmetic.halved(folder_sets.read_eurosat),
    "gtsrb": task_arithmetic.held_out(official_splits.read_gtsrb),
    "mnist": task_arithmetic.held_out(task_arithmetic.with_raw_names(array_files.read_mnist)),
    "resisc45": task_arithmetic.held_out(official_splits.read_resisc),
    "stanford_cars": task_arithmetic.held_out(matlab_files.read_cars),
    "sun397": task_arithmetic.held_out(official_splits.read_sun_partition),
    "svhn": task_arithmetic.held_out(matlab_files.read_svhn),
}

TRAINED_AND_TESTED: tuple[Split, Split] = ("train", "test")


def open_set(root: Path, name: str, convention: Convention) -> FoundImageSet:
    """A data set below a root; its lists of images are read when a part is asked for.

    Args:
        root: Folder of the data sets.
        name: Name of the data set.
        convention: Source of the split.

    Raises:
        DataError: When it is missing, damaged or not in the layout of the convention.
    """
    facts = facts_of(name)
    if convention not in facts.expected:
        raise DataError(f"data set {name}: the convention {convention!r} has no {facts.title}")
    location = locate_set(root, facts)
    if convention == "task-arithmetic":
        return TASK_ARITHMETIC_READERS[name](location, facts)
    read = coop.read_split_file if convention == "coop" and facts.split else OWN_READERS[name]
    return read(location, facts)


def part_of(found: FoundImageSet, name: str, convention: Convention, split: Split) -> ImagePart:
    """One part of a set.

    Args:
        found: The data set.
        name: Name of the data set, for messages.
        convention: Source of the split, for messages.
        split: Part to be read.

    Raises:
        DataError: When the convention has no such part, or its list or images are missing or damaged.
    """
    if split not in found.parts:
        known = ", ".join(found.parts)
        raise DataError(f"data set {name}: the convention {convention!r} has no part {split!r} (it has {known})")
    return found.parts[split]()


def data_deviations_of(found: FoundImageSet, name: str, convention: Convention) -> list[str]:
    """Differences from the published numbers of classes, training images and test images, one line each.

    Args:
        found: The data set.
        name: Name of the data set.
        convention: Source of the split, whose numbers were published.

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
