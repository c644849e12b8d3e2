"""`clbench data`: are the data sets of a stream there, and what can be done about it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from clbench.streams.clip_domains.picture_sets.check import SetReport

app = typer.Typer(help="Check and prepare the data sets of a stream that has none of its own.", no_args_is_help=True)

PARTS = ("classes", "train", "validation", "test")

Stream = Annotated[str, typer.Argument(help="Name of a stream, or the path of its card.")]
Root = Annotated[Path, typer.Option(help="Folder of the data sets.")]


@app.command("check")
def check(
    stream: Stream,
    root: Root,
    pictures: Annotated[bool, typer.Option("--images", help="Also decode every picture.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what of a stream's data is there, set by set; exit status 2 if something is missing."""
    from clbench.cli.output import print_json, print_table
    from clbench.streams.clip_domains.picture_sets.check import check_stream

    reports = check_stream(stream, root, pictures)
    complete = not any(report.problems for report in reports)
    if as_json:
        print_json({"stream": stream, "complete": complete, "sets": [report.as_json() for report in reports]})
    else:
        print_table(f"{stream} in {root}", ("data set", *PARTS, "", ""), [_row(report) for report in reports])
        for report in reports:
            for line in (*report.problems, *report.advice):
                print(f"{report.dataset}: {line}")
    if not complete:
        raise typer.Exit(2)


@app.command("prepare")
def prepare(stream: Stream, root: Root) -> None:
    """Unpack archives that lie in the root and download what needs no person; say what is left to do."""
    from clbench.streams.clip_domains.picture_sets.prepare import prepare_stream

    ready = True
    for item in prepare_stream(stream, root):
        ready &= item.ready
        for line in (*item.done, *item.problems):
            print(f"{item.dataset}: {line}")
        if item.ready:
            print(f"{item.dataset}: ready")
    if not ready:
        raise typer.Exit(2)


def _row(report: "SetReport") -> tuple[str, ...]:
    numbers = [report.numbers.get(part) for part in PARTS]
    cells = [_cell(*pair) if pair else "" for pair in numbers]
    return (report.dataset, *cells, report.convention, "incomplete" if report.problems else "complete")


def _cell(found: int | None, published: int) -> str:
    if found == published:
        return f"{found:,}"
    return f"{'-' if found is None else f'{found:,}'} of {published:,}"
