"""Checks the task sets below a root against the published numbers."""

from pathlib import Path

from clbench.core.errors import DataError
from clbench.streams.data_report import SetReport, card_of_texts
from clbench.streams.loaders.task_sets import source_of
from clbench.streams.updates.muscle_sets.found_muscle_set import open_set
from clbench.streams.updates.muscle_sets.muscle_set_facts import MuscleSetName, facts_of


def check_stream(stream: str, root: Path, images: bool) -> list[SetReport]:
    """Check a stream's data sets below a root.

    Args:
        stream: Name of the stream, or the path of its card.
        root: Folder of the data sets.
        images: Whether to decode every image too.

    Raises:
        ConfigError: When images are to be decoded: texts have none.
        DataError: When there is no such root.
    """
    card = card_of_texts(stream, root, images)
    return [_check(root, task.name, source_of(card, task).dataset) for task in card.tasks]


def _check(root: Path, task: str, name: MuscleSetName) -> SetReport:
    facts, folder = facts_of(name), None
    counts: dict[str, int] = {}
    problems: list[str] = []
    try:
        found = open_set(name, root)
        folder = found.repo
        counts = {"train": found.size("train"), "test": found.size("test")}
        problems += found.data_deviations()
    except DataError as error:
        problems.append(str(error))
    numbers: dict[str, tuple[int | None, int | None]] = {
        part: (counts.get(part), published) for part, published in (("train", facts.train), ("test", facts.test))
    }
    where = f"get the repository {facts.repo} of the Hugging Face hub, whole, as the folder {facts.folder}"
    advice = (where, f"its makers: {facts.source}; licence: {facts.licence}") if problems else ()
    return SetReport(task, name, facts.repo, folder, numbers, tuple(problems), advice)
