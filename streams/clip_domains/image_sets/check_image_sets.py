"""Checks a stream's data sets below a root against the published numbers."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from clbench.core.cards import STREAM_CARDS
from clbench.core.errors import ConfigError, DataError
from clbench.core.image_reading import read_image
from clbench.spec.task import SPLITS, Split
from clbench.streams.card import StreamCard, read_card
from clbench.streams.clip_domains.image_sets.found_image_set import FoundImageSet
from clbench.streams.clip_domains.image_sets.image_part import ImagePart
from clbench.streams.clip_domains.image_sets.image_set_facts import Convention, ImageSetFacts, facts_of
from clbench.streams.clip_domains.image_sets.known_image_sets import open_set, part_of
from clbench.streams.clip_domains.image_sets.shots import Shots, drawn
from clbench.streams.data_report import SetReport
from clbench.streams.loaders.image_sets import source_of

LOADER = "image-sets"


@dataclass(frozen=True)
class WantedSet:
    """What a stream wants of one data set.

    Attributes:
        task: Name of the task.
        dataset: Name of the set.
        convention: Source of the split.
        shots: Training images a class; None for all.
        repeat: Whether smaller classes are drawn from with replacement.
    """

    task: str
    dataset: str
    convention: Convention
    shots: int | None
    repeat: bool


def wanted_sets(stream: str) -> list[WantedSet]:
    """The data sets of a stream, in training order.

    Raises:
        ConfigError: For a stream that has data of its own.
    """
    card = _card(stream)
    sources = [(task.name, source_of(card, task)) for task in card.tasks]
    return [
        WantedSet(name, source.dataset, source.convention, card.shots, source.short == "repeat")
        for name, source in sources
    ]


def check_stream(stream: str, root: Path, images: bool) -> list[SetReport]:
    """Check a stream's data sets below a root.

    Args:
        stream: Name of the stream, or the path of its card.
        root: Folder of the data sets.
        images: Whether to decode every image too.

    Raises:
        ConfigError: For a stream that has data of its own.
        DataError: When there is no such root.
    """
    wanted = wanted_sets(stream)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder (wanted the folder of the data sets)")
    return [_check(root, item, images) for item in wanted]


def advice_for(root: Path, facts: ImageSetFacts, convention: Convention) -> tuple[str, ...]:
    """Lines that say where to get a set and where to put it.

    Args:
        root: Folder of the data sets.
        facts: Facts of the set.
        convention: The split that is wanted; CoOp's has a file of its own.
    """
    home = root / facts.archives[0].into.partition("/")[0] if facts.archives[0].into != "." else root / facts.folders[0]
    lines = [facts.by_hand] if facts.by_hand else []
    links = [archive.url for archive in facts.archives if archive.url]
    if links:
        lines.append(f"`clbench data prepare` downloads {', '.join(links)}; or get it from {facts.source} yourself")
    if convention == "coop" and facts.split:
        lines.append(f"get {facts.split} by hand from {facts.split_url}")
    return (*lines, f"put it under {home}")


def _card(stream: str) -> StreamCard:
    file = STREAM_CARDS.get(stream)
    card = read_card(file.values, file.path)
    if card.loader != LOADER:
        wanted = f"wanted a stream of published data sets, for example one that is read by {LOADER!r}"
        raise ConfigError(f"stream {card.name!r} is read by {card.loader!r}: {wanted}")
    return card


def _check(root: Path, wanted: WantedSet, images: bool) -> SetReport:
    facts = facts_of(wanted.dataset)
    published = facts.expected[wanted.convention].model_dump(exclude_none=True)
    found_numbers: dict[str, int] = {}
    problems: list[str] = []
    folder = None
    try:
        found = open_set(root, wanted.dataset, wanted.convention)
        folder, found_numbers["classes"] = str(found.folder), len(found.classes)
        for split in SPLITS:
            if split in published:
                problems += _check_part(found, wanted, split, found_numbers, images)
    except DataError as error:
        problems.append(str(error))
    for key, number in found_numbers.items():
        if number != published[key]:
            problems.append(f"{folder}: {key}: wanted the published {published[key]:,}, got {number:,}")
    numbers: dict[str, tuple[int | None, int | None]] = {
        key: (found_numbers.get(key), number) for key, number in published.items()
    }
    advice = advice_for(root, facts, wanted.convention) if problems else ()
    return SetReport(wanted.task, wanted.dataset, wanted.convention, folder, numbers, tuple(problems), advice)


def _check_part(
    found: FoundImageSet, wanted: WantedSet, split: Split, numbers: dict[str, int], images: bool
) -> Iterator[str]:
    try:
        part = part_of(found, wanted.dataset, wanted.convention, split)
        numbers[split] = len(part.names)
        if part.arrays is None:
            assert part.sizes  # raises for missing images
        if split == "train" and wanted.shots:
            shots = Shots(wanted.shots, 0, wanted.repeat)
            drawn(shots, part.where, part.labels, wanted.task, found.classes)
        if images and part.arrays is None:
            _decode(part)
    except DataError as error:
        yield str(error)


def _decode(part: ImagePart) -> None:
    def problem(name: str) -> str:
        try:
            read_image(part.folder / name, repr(name))
        except DataError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = [text for text in pool.map(problem, part.names) if text]
    if found:
        got = f"{len(found)} of {len(part.names)} images do not decode, the first is {found[0]}"
        raise DataError(f"{part.folder}: {got}")
