"""Public image data sets below one root, or on the Hugging Face hub: MTIL, X-TAIL and TA8."""

from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import Field

from clbench.core.config import Config, validate
from clbench.core.errors import DataError
from clbench.core.registry import LOADERS
from clbench.spec.stream import Stream
from clbench.streams.card import DataChoice, StreamCard, TaskCard
from clbench.streams.clip_domains.image_sets.hub_sets import open_hub
from clbench.streams.clip_domains.image_sets.image_set_facts import Convention, ImageSetName, facts_of
from clbench.streams.clip_domains.image_sets.image_set_tasks import task_of_folder, task_of_hub
from clbench.streams.clip_domains.image_sets.known_image_sets import data_deviations_of, open_set
from clbench.streams.clip_domains.image_sets.shots import Shots
from clbench.streams.missing_data import find_all


class ImageSource(Config):
    """Settings of a task for `image-sets`."""

    dataset: ImageSetName = Field(description="Which data set.")
    convention: Convention = Field(
        description="Source of the split: torchvision (MTIL), coop (X-TAIL) or task-arithmetic (TA8)."
    )
    short: Literal["refuse", "repeat"] = Field(
        "refuse", description="What to do with a class that has fewer training images than shots."
    )


@LOADERS.register("image-sets", config=ImageSource)
def load_image_sets(card: StreamCard, choice: DataChoice) -> Stream:
    """A stream of public data sets in the folder layouts of their guides; images are read when needed.

    Raises:
        ConfigError: For a task with an invalid source.
        DataError: When there is no root, or data sets below it are missing or damaged.
    """
    sources = [source_of(card, task) for task in card.tasks]
    if choice.hub:
        return _from_hub(card, sources, choice.seed)
    if choice.folder is None:
        raise DataError(f"stream {card.name!r} has no data of its own: it needs --root DIR with its data sets")
    return _from_folder(card, sources, choice.folder.absolute(), choice.seed)


def source_of(card: StreamCard, task: TaskCard) -> ImageSource:
    """A task's source, checked.

    Raises:
        ConfigError: For an invalid source.
    """
    return validate(ImageSource, task.source, f"stream {card.name}: task {task.name}: source")


def _from_folder(card: StreamCard, sources: list[ImageSource], root: Path, seed: int) -> Stream:
    found = find_all(
        card, root, [(source.dataset, partial(open_set, root, source.dataset, source.convention)) for source in sources]
    )
    tasks, data_deviations = [], list[str]()
    for task, source, item in zip(card.tasks, sources, found, strict=True):
        data_deviations += data_deviations_of(item, source.dataset, source.convention)
        tasks.append(task_of_folder(task, item, source.dataset, source.convention, _shots(card, source, seed)))
    kept = card.model_dump(mode="json")
    return Stream(card.name, tuple(tasks), card.protocols, card.learner, kept, tuple(data_deviations))


def _from_hub(card: StreamCard, sources: list[ImageSource], seed: int) -> Stream:
    """The stream from copies on the hub, whose repositories, commits and splits go into its card."""
    absent = [source.dataset for source in sources if facts_of(source.dataset).hub is None]
    if absent:
        raise DataError(f"--root hub: no copy on the hub is known of {', '.join(absent)} (wanted --root DIR)")
    tasks, copies = [], {}
    for task, source in zip(card.tasks, sources, strict=True):
        found = open_hub(source.dataset, facts_of(source.dataset))
        tasks.append(task_of_hub(task, found, source.convention, _shots(card, source, seed)))
        copies[task.name] = {"commit": found.commit, **found.hub.model_dump(mode="json")}
    values = {**card.model_dump(mode="json"), "hub": copies}
    return Stream(card.name, tuple(tasks), card.protocols, card.learner, values)


def _shots(card: StreamCard, source: ImageSource, seed: int) -> Shots | None:
    return Shots(card.shots, seed, source.short == "repeat") if card.shots else None
