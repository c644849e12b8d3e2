"""The splits of task arithmetic (Ilharco et al. 2023), on which merging on eight image sets (TA8) rests.

The released code has a tenth of each training part, at most 5,000 images, for validation, drawn with
`torch.utils.data.random_split` and a generator of seed 0 over the images as they are listed.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Literal

import numpy as np

from clbench.streams.clip_domains.image_sets.found_image_set import FoundImageSet, Reader
from clbench.streams.clip_domains.image_sets.image_part import ImagePart
from clbench.streams.clip_domains.image_sets.image_set_facts import ImageSetFacts
from clbench.streams.clip_domains.image_sets.set_location import SetLocation

SEED = 0
SHARE, MOST = 0.1, 5000
"""Share of the training part that validates, and the largest number of its images."""


def held_out(read: Reader) -> Reader:
    """The reader of a set whose validation part is drawn from the training part of another reader."""

    def drawn(whole: ImagePart) -> tuple[ImagePart, ImagePart]:
        import torch

        order = torch.randperm(len(whole.names), generator=torch.Generator().manual_seed(SEED)).tolist()
        size = len(order) - min(int(SHARE * len(order)), MOST)
        return whole.select(order[:size]), whole.select(order[size:])

    return _changed(read, drawn, "train")


def halved(read: Reader) -> Reader:
    """The reader of a set of which the first half of the test part validates.

    For EuroSAT, whose split into 21,600, 2,700 and 2,700 images was drawn at random and not published.
    """

    def drawn(whole: ImagePart) -> tuple[ImagePart, ImagePart]:
        rows = np.arange(len(whole.names))
        return whole.select(rows[len(rows) // 2 :]), whole.select(rows[: len(rows) // 2])

    return _changed(read, drawn, "test")


def joined(read: Reader) -> Reader:
    """The reader of a set whose official validation part is trained on, too; images in the order of folders."""

    def read_joined(location: SetLocation, facts: ImageSetFacts) -> FoundImageSet:
        found = read(location, facts)

        def train() -> ImagePart:
            one, two = found.parts["train"](), found.parts["validation"]()
            names, labels = one.names + two.names, np.concatenate([one.labels, two.labels])
            whole = replace(one, names=names, labels=labels)
            return whole.select(sorted(range(len(names)), key=lambda row: names[row].rpartition("/")))

        return replace(found, parts={"train": train, "test": found.parts["test"]})

    return read_joined


def with_raw_names(read: Reader) -> Reader:
    """The reader of a set whose prompts have the names that the data have."""
    return lambda location, facts: replace(read(location, facts), classes=tuple(facts.classes))


def _changed(
    read: Reader, drawn: Callable[[ImagePart], tuple[ImagePart, ImagePart]], split: Literal["train", "test"]
) -> Reader:
    """The reader of a set whose validation part comes from another part.

    Args:
        read: Reader of the set without a validation part.
        drawn: What is left of the part, and the validation part.
        split: The part.
    """

    def read_changed(location: SetLocation, facts: ImageSetFacts) -> FoundImageSet:
        found = read(location, facts)

        @cache
        def both() -> tuple[ImagePart, ImagePart]:
            return drawn(found.parts[split]())

        parts = {**found.parts, split: lambda: both()[0], "validation": lambda: both()[1]}
        return replace(found, parts=parts)

    return read_changed
