"""`clbench power`: how small a difference of two methods a stream shows with its test samples, seeds and orders."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from clbench.reports.finished_cells import FinishedCell
    from clbench.reports.statistics.stream_power import MethodPair, StreamPower

TITLES = {"last": "Last", "forgetting": "forgetting", "nfr": "NFR"}


def power(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs: output folders, suites or cells.")],
    protocol: Annotated[Optional[str], typer.Option(help="Protocol. Default: the first of each stream.")] = None,
    points: Annotated[float, typer.Option(help="Difference that shall be seen, in percentage points.")] = 2.0,
    pairs: Annotated[
        Optional[str], typer.Option(help="Print the differences of all pairs of methods, too: last, forgetting or nfr.")
    ] = None,
    root: Annotated[
        Optional[str], typer.Option(help="Folder of the streams' data sets, or `hub`, from which patients are read.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Print the noise of a stream and the smallest visible difference.

    The noise of sampling is that of the test samples, the noise of training that between seeds and orders. A difference
    is seen if the paired test over seeds finds it at 5 % with a probability of 80 %.
    """
    from dataclasses import asdict

    from clbench.cli.output import print_json, print_table
    from clbench.core.errors import ConfigError, DataError
    from clbench.reports.finished_cells import finished_cells
    from clbench.reports.leaderboard.text import plain
    from clbench.reports.statistics.stream_power import stream_powers

    if not 0 < points < 100:
        raise ConfigError(f"--points must be above 0 and below 100, got {points}")
    if pairs is not None and pairs not in TITLES:
        raise ConfigError(f"--pairs must be one of {', '.join(TITLES)}, got {pairs!r}")
    cells, left_out = finished_cells(runs)
    notes: list[str] = []
    found, more = stream_powers(cells, lambda cell: _clusters(cell, root, notes), points / 100, protocol)
    if not found:
        raise DataError("; ".join([*more, *left_out][:1]) or "no finished cells")
    for line in [*(f"left out: {reason}" for reason in [*left_out, *more]), *notes]:
        print(plain(line), file=sys.stderr)
    if as_json:
        print_json({"points": points, "streams": [asdict(each) for each in found]})
        return
    headings = ("", "sampling", "training", "diff.: sampling", "diff.: training", "visible", f"seeds to see {points:g}")
    for each in found:
        print_table(_title(each), headings, _rows(each))
        if each.nfr_floor is not None:
            print(f"NFR between two seeds of one method: {100 * each.nfr_floor:.1f} %\n")
        if pairs and pairs in each.numbers:
            _print_pairs(TITLES[pairs], each.numbers[pairs].pairs)
    print("in percentage points; visible: smallest difference of two methods that is seen with a power of 80 %")


def _print_pairs(title: str, pairs: "Sequence[MethodPair]") -> None:
    """All pairs, and how many of them are told apart."""
    from clbench.cli.output import print_table

    rows = [
        (
            f"{pair.one} less {pair.other}",
            f"{100 * pair.mean:.1f}",
            f"{100 * pair.error:.1f}",
            f"{pair.in_errors:.1f}",
            f"{100 * pair.low:.1f} to {100 * pair.high:.1f}",
        )
        for pair in pairs
    ]
    apart, alike = sum(pair.in_errors > 3 for pair in pairs), sum(pair.low <= 0 for pair in pairs)
    print_table(f"{title}, pairs of methods", ("", "difference", "error", "in errors", "95 % interval"), rows)
    print(f"of {len(pairs)} pairs {apart} differ by more than three errors; of {alike} the interval holds 0\n")


def _clusters(cell: "FinishedCell", root: str | None, notes: list[str]) -> "Mapping[str, str]":
    """Patients of the test samples, from the stream's data; nothing, with a note, if they cannot be read."""
    from typing import cast

    from clbench.core.errors import ClbenchError
    from clbench.spec.task import Split
    from clbench.streams.sample_clusters import sample_clusters

    try:
        return sample_clusters(cell.stream, cast(Split, cell.split), root, cell.seed)
    except ClbenchError as error:
        notes.append(f"{cell.stream}: each test sample counts as independent, because its data cannot be read: {error}")
        return {}


def _title(found: "StreamPower") -> str:
    def number(n: int, what: str) -> str:
        return f"{n:,} {what}{'' if n == 1 else 's'}"

    clusters = "" if found.clusters == found.samples else f" of {number(found.clusters, 'patient')}"
    parts = (
        number(found.methods, "method"),
        f"{number(found.runs, 'seed')} in common",
        number(found.orders, "order"),
        number(found.samples, "test sample") + clusters,
    )
    return f"{found.stream} / {found.learner} / {found.split} / {found.protocol}: {', '.join(parts)}"


def _rows(found: "StreamPower") -> list[tuple[str, ...]]:
    def shown(value: float | None) -> str:
        return "n/a" if value is None else f"{100 * value:.2f}"

    return [
        (
            TITLES[name],
            shown(of.sampling),
            shown(of.training),
            shown(of.paired_sampling),
            shown(of.paired_training),
            shown(of.visible),
            "n/a" if of.visible is None else "more samples" if of.runs_to_see is None else str(of.runs_to_see),
        )
        for name, of in found.numbers.items()
    ]
