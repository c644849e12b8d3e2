"""Checks the images of one task for `clbench data check`."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from clbench.core.errors import BrokenSamplesError, DataError
from clbench.kinds import decode_rows
from clbench.spec.task import SPLITS, Split
from clbench.streams.card import TaskCard, load_stream
from clbench.streams.data_report import SetReport
from clbench.streams.ultrasound.ultrasound_tasks import TaskRows

CHUNK = 256
"""Images decoded at a time."""


@dataclass(frozen=True)
class WantedTask:
    """What a stream wants of one task.

    Attributes:
        task: Card of the task.
        dataset: Name of its data.
        convention: Name of the layout.
        published: Published number of images; None where it is not known.
        advice: How to solve problems, one line each.
    """

    task: TaskCard
    dataset: str
    convention: str
    published: int | None
    advice: tuple[str, ...]


def report_of(wanted: WantedTask, find: Callable[[], TaskRows], images: bool) -> SetReport:
    """Check the images of a task.

    Args:
        wanted: Task to be checked.
        find: Reads its lists.
        images: Whether to decode every image too, and to check its truth.
    """
    numbers: dict[str, tuple[int | None, int | None]] = {"images": (None, wanted.published)}
    problems: list[str] = []
    folder = None
    try:
        found = find()
        folder = str(found.where)
        numbers["images"] = (len(found.rows), wanted.published)
        if wanted.published not in (None, len(found.rows)):
            problems.append(f"{folder}: wanted the published {wanted.published:,} images, got {len(found.rows):,}")
        for split in SPLITS:
            numbers[split] = (len(found.parts[split]), None)
            problems += _problems(found, wanted.task, split, images)
    except DataError as error:
        problems.append(str(error))
    advice = wanted.advice if problems else ()
    return SetReport(wanted.task.name, wanted.dataset, wanted.convention, folder, numbers, tuple(problems), advice)


def with_problems_of_all(stream: str, root: Path, reports: list[SetReport]) -> list[SetReport]:
    """The reports; if each task is complete, with problems between tasks too (a patient in two parts).

    Args:
        stream: Name of the stream, or the path of its card.
        root: Folder of the data.
        reports: Reports of the tasks, one each.
    """
    if not any(report.problems for report in reports):
        try:
            load_stream(stream, str(root))
        except DataError as error:
            return [replace(reports[0], problems=(str(error),)), *reports[1:]]
    return reports


def _problems(found: TaskRows, task: TaskCard, split: Split, images: bool) -> list[str]:
    if not found.parts[split]:
        return [f"{found.where}: its part {split!r} has no images"]
    try:
        found.fingerprint(split)  # raises for missing images
        if images:
            _decode(found, task, split)
    except DataError as error:
        return [str(error)]
    return []


def _decode(found: TaskRows, card: TaskCard, split: Split) -> None:
    rows, broken, first = found.load(split), 0, ""
    for start in range(0, len(rows), CHUNK):
        chunk = rows.select(range(start, min(start + CHUNK, len(rows))))
        try:
            decode_rows(chunk, found.made(card), lambda position, image: None)
        except BrokenSamplesError as error:
            broken += len(error.positions)
            first = first or str(error)
    if broken:
        raise DataError(f"{split}: {broken} of {len(rows)} images are broken, the first: {first}")
