"""Checks a stream's text data sets below a root against the published numbers."""

from pathlib import Path

from clbench.core.errors import DataError
from clbench.spec.task import SPLITS
from clbench.streams.data_report import SetReport, card_of_texts
from clbench.streams.loaders.text_sets import TextSource, source_of
from clbench.streams.text_sequences.text_sets.found_text_set import find_set
from clbench.streams.text_sequences.text_sets.text_set_facts import Collection, collection


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
    return [_check(root, task.name, source_of(card, task)) for task in card.tasks]


def _check(root: Path, task: str, source: TextSource) -> SetReport:
    known, folder = collection(source.collection), None
    counts: dict[str, int] = {}
    problems: list[str] = []
    notes: list[str] = []
    try:
        found = find_set(root, known, source.dataset)
        folder = str(found.folder)
        for split in known.files:
            counts[split] = found.counts(split)[0]
        problems += found.data_deviations()
        notes += found.left_out()
    except DataError as error:
        problems.append(str(error))
    published = _published(known, source.dataset)
    numbers: dict[str, tuple[int | None, int | None]] = {
        part: (counts.get(part), number) for part, number in published.items()
    }
    if problems:
        notes += _advice(known, source.dataset)
    return SetReport(task, source.dataset, source.collection, folder, numbers, tuple(problems), tuple(notes))


def _published(known: Collection, dataset: str) -> dict[str, int]:
    return {split: getattr(known.sets[dataset], split) for split in SPLITS if split in known.files}


def _advice(known: Collection, dataset: str) -> tuple[str, ...]:
    facts = known.sets[dataset]
    return (f"get {known.get_it}", f"its makers: {facts.source}; licence: {facts.licence}")
