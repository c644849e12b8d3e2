"""Checks a stream's public ultrasound sets below a root against the published numbers."""

from functools import partial
from pathlib import Path

from clbench.core.cards import STREAM_CARDS
from clbench.core.errors import DataError
from clbench.streams.card import DataChoice, read_card, users_root
from clbench.streams.data_report import SetReport
from clbench.streams.loaders.ultrasound_sets import source_of
from clbench.streams.ultrasound.check_task import WantedTask, report_of, with_problems_of_all
from clbench.streams.ultrasound.sets.known_ultrasound_sets import SETS, open_task


def check_stream(stream: str, root: Path, images: bool) -> list[SetReport]:
    """Check a stream's data sets below a root.

    Args:
        stream: Name of the stream, or the path of its card.
        root: Folder of the data sets.
        images: Whether to decode every image too.

    Raises:
        DataError: When there is no such root.
    """
    file = STREAM_CARDS.get(stream)
    card = read_card(file.values, file.path)
    root = users_root(card, DataChoice(root, hub=False, seed=0))
    if not root.is_dir():
        raise DataError(f"{root}: no such folder (wanted the folder of the data sets)")
    reports = []
    for task in card.tasks:
        source = source_of(card, task)
        known = SETS[source.dataset]
        advice = (f"get it from {known.source}; licence: {known.licence}", f"put it under {root / known.folders[0]}")
        wanted = WantedTask(task, source.dataset, source.task, known.sizes.get(source.task), advice)
        find = partial(open_task, root, task.name, source.dataset, source.task)
        reports.append(report_of(wanted, find, images))
    return with_problems_of_all(stream, root, reports)
