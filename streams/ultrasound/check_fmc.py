"""Checks a stream in the layout of FMC_UIA below a root."""

from functools import partial
from pathlib import Path

from clbench.core.cards import STREAM_CARDS
from clbench.streams.card import DataChoice, read_card, users_root
from clbench.streams.data_report import SetReport
from clbench.streams.loaders.fmc_uia import source_of, task_rows
from clbench.streams.ultrasound.check_task import WantedTask, report_of, with_problems_of_all
from clbench.streams.ultrasound.fmc_layout import read_tasks

ADVICE = ("get the training data of the challenge: https://www.codabench.org/competitions/11539/",)


def check_stream(stream: str, root: Path, images: bool) -> list[SetReport]:
    """Check the tasks of a stream below a root.

    Args:
        stream: Name of the stream, or the path of its card.
        root: The folder with `csv_files` in it.
        images: Whether to decode every image too.

    Raises:
        DataError: When there is no such root, or it has no CSV files, or one of them is damaged.
    """
    file = STREAM_CARDS.get(stream)
    card = read_card(file.values, file.path)
    root = users_root(card, DataChoice(root, hub=False, seed=0))
    listed = read_tasks(root)
    reports = []
    for task in card.tasks:
        source = source_of(card, task)
        wanted = WantedTask(task, source.task_id, "fmc-uia", None, ADVICE)
        reports.append(report_of(wanted, partial(task_rows, root, task.name, source, listed), images))
    return with_problems_of_all(stream, root, reports)
