"""`clbench data`: check and prepare the data sets that a stream reads from a folder of the user."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from clbench.streams.data_report import SetReport

app = typer.Typer(
    help="Check and prepare the data sets of streams that ship none.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

PARTS = ("classes", "images", "train", "validation", "test")
"""Numbers of a data set that have a column, in the order of the columns."""

Stream = Annotated[str, typer.Argument(help="Name of a stream, or path of its card (.yaml).")]
Root = Annotated[Path, typer.Option(help="Folder of the data sets.")]


@app.command("check")
def check(
    stream: Stream,
    root: Root,
    images: Annotated[bool, typer.Option("--images", help="Also decode all images.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Check whether the data sets of a stream are complete.

    Prints the numbers of classes and samples and what is missing. Exit status 2 if anything is missing.
    """
    from clbench.cli.output import print_json, print_table

    check_stream, checked = _checker(stream)
    reports = check_stream(checked, root, images)
    complete = not any(report.problems for report in reports)
    if as_json:
        print_json({"stream": stream, "complete": complete, "sets": [report.as_json() for report in reports]})
    else:
        parts = [part for part in PARTS if any(part in report.numbers for report in reports)]
        print_table(
            f"{stream} in {root}",
            ("data set", *parts, "convention", "status"),
            [_row(report, parts) for report in reports],
        )
        for report in reports:
            for line in (*report.problems, *report.advice):
                print(f"{report.dataset}: {line}")
    if not complete:
        raise typer.Exit(2)


@app.command("prepare")
def prepare(stream: Stream, root: Root) -> None:
    """Unpack and download the data sets of a stream.

    Unpacks archives in --root and downloads files that need no consent. Prints what is left for you to do; exit
    status 2 if there is anything.
    """
    from clbench.streams.clip_domains.image_sets.prepare import prepare_stream

    ready = True
    for item in prepare_stream(stream, root):
        ready &= item.ready
        for line in (*item.done, *item.problems):
            print(f"{item.dataset}: {line}")
        if item.ready:
            print(f"{item.dataset}: ready")
    if not ready:
        raise typer.Exit(2)


def _checker(stream: str) -> "tuple[Callable[[str, Path, bool], list[SetReport]], str]":
    """The function that checks the data of a stream, and the stream that has these data: the base one for releases.

    Loaders without a checker get that of image sets, which refuses their data with an error.
    """
    from clbench.core.cards import STREAM_CARDS
    from clbench.core.registry import LOADERS
    from clbench.streams.card import read_card

    file = STREAM_CARDS.get(stream)
    card = read_card(file.values, file.path)
    if card.based_on is not None:
        return _checker(card.based_on)
    details = LOADERS.get(card.loader).details
    module = import_module(details.get("check", "clbench.streams.clip_domains.image_sets.check_image_sets"))
    return cast("Callable[[str, Path, bool], list[SetReport]]", module.check_stream), stream


def _row(report: "SetReport", parts: list[str]) -> tuple[str, ...]:
    numbers = [report.numbers.get(part) for part in parts]
    cells = [_cell(*pair) if pair else "" for pair in numbers]
    return (report.dataset, *cells, report.convention, "incomplete" if report.problems else "complete")


def _cell(found: int | None, published: int | None) -> str:
    number = "-" if found is None else f"{found:,}"
    return number if published in (None, found) else f"{number} of {published:,}"
