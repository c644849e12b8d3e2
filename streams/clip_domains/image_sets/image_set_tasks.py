"""Tasks made from data sets: few-shot draws, fingerprints, rows."""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from clbench.spec.task import Split, Task
from clbench.streams.card import TaskCard
from clbench.streams.clip_domains.image_sets.found_image_set import FoundImageSet
from clbench.streams.clip_domains.image_sets.hub_sets import HubSet
from clbench.streams.clip_domains.image_sets.image_part import ImagePart
from clbench.streams.clip_domains.image_sets.image_set_facts import Convention, facts_of
from clbench.streams.clip_domains.image_sets.known_image_sets import part_of
from clbench.streams.clip_domains.image_sets.shots import Shots, drawn

if TYPE_CHECKING:
    from datasets import Dataset


def task_of_folder(
    card: TaskCard, found: FoundImageSet, name: str, convention: Convention, shots: Shots | None
) -> Task:
    """A task whose images lie in a folder.

    Args:
        card: Name, kind, metric and templates of the task.
        found: The data set.
        name: Name of the data set.
        convention: Source of the split and the templates.
        shots: How training images are drawn; None for all of them.
    """

    @cache
    def part(split: Split) -> ImagePart:
        whole = part_of(found, name, convention, split)
        if split != "train" or shots is None:
            return whole
        return whole.select(drawn(shots, whole.where, whole.labels, card.name, found.classes))

    @cache
    def fingerprint(split: Split) -> str:
        return part(split).digest(convention, found.classes, split)

    def load(split: Split) -> "Dataset":
        return part(split).rows(card.name, found.classes)

    return _task(card, load, fingerprint, found.classes, facts_of(name).templates[convention])


def task_of_hub(card: TaskCard, found: HubSet, convention: Convention, shots: Shots | None) -> Task:
    """A task whose images are a copy on the hub.

    Args:
        card: Name, kind, metric and templates of the task.
        found: The copy.
        convention: Source of the templates.
        shots: How training images are drawn; None for all of them.
    """

    @cache
    def rows(split: Split) -> tuple[int, ...] | None:
        if split != "train" or shots is None:
            return None
        labels = found.labels(split)
        return tuple(drawn(shots, Path(found.hub.repo), labels, card.name, found.classes).tolist())

    def fingerprint(split: Split) -> str:
        words = (found.hub.repo, found.hub.config, found.commit, found.part(split), found.classes, rows(split))
        return hashlib.sha256(repr(words).encode()).hexdigest()

    def load(split: Split) -> "Dataset":
        return found.load(split, card.name, rows(split))

    return _task(card, load, fingerprint, found.classes, facts_of(found.name).templates[convention])


def _task(
    card: TaskCard,
    load: "Callable[[Split], Dataset]",
    fingerprint: Callable[[Split], str],
    classes: tuple[str, ...],
    templates: tuple[str, ...],
) -> Task:
    return Task(card.name, card.kind, card.metric, load, fingerprint, classes, card.templates or templates)
